"""What a stream is missing, told to the caller beside its rows."""

from udtf.functions.table_function import Query
from udtf.lake.metadata import StreamRow
from udtf.lake.view import Failure, Loss, View


def tell(query: Query, kind: str, stream: StreamRow, **details: object) -> None:
    """Tell the caller something of a stream."""
    query.context.on_message(
        {"type": kind, "stream_id": stream.stream_id, "thread_name": stream.thread_name, **details}
    )


def tell_losses(query: Query, view: View) -> list[Loss]:
    """Tell the caller of events that were lost in the range, `events_lost` for each place; of ends in the range that
    close nothing, `orphan_ends`; of spans that were never recorded, at whatever time, for want of room,
    `spans_dropped`; and of telemetry of the range that has been removed, `telemetry_removed`.

    Returns:
        Where events were lost.
    """
    losses = view.losses()
    for loss in losses:
        tell(query, "events_lost", view.streams[loss.stream], nb_events=loss.nb_events, time_ns=loss.time_ns)
    for stream, nb_events in view.orphans().items():
        tell(query, "orphan_ends", view.streams[stream], nb_events=nb_events)
    for row in view.streams:
        if view.kind.span_type is not None and row.dropped_spans:
            tell(query, "spans_dropped", row, nb_spans=row.dropped_spans)
    if view.removed:
        query.context.on_message({"type": "telemetry_removed", "process_id": view.process.process_id})
    return losses


def tell_failures(query: Query, view: View) -> list[Failure]:
    """Tell the caller of telemetry that could not be read, `thread_failed` for each stream and place; or fail, if the
    caller is strict.

    Raises:
        CorruptData, StoreRefused, StoreUnavailable: the caller is strict.
    """
    for failure in view.failures:
        if query.context.strict:
            raise failure.error
        query.tally.thread_failed(failure.error)
        tell(query, "thread_failed", view.streams[failure.stream], message=str(failure.error), time_ns=failure.time_ns)
    return view.failures
