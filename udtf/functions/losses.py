"""What a stream is missing, told to the caller beside its rows."""

from collections.abc import Mapping
from typing import Any

from udtf.functions.table_function import Query
from udtf.lake.partition_file import Summary
from udtf.lake.process_view import StreamView
from udtf.lake.runs import Run
from udtf.time_range import TimeRange


def tell(query: Query, kind: str, stream: StreamView[Any], **details: object) -> None:
    """Tell the caller something of a stream."""
    name = stream.stream.properties.get("thread-name", "")
    query.context.on_message({"type": kind, "stream_id": stream.stream.stream_id, "thread_name": name, **details})


def tell_losses(
    query: Query, stream: StreamView[Any], summaries: Mapping[int, Summary], time_range: TimeRange
) -> list[Run]:
    """Tell the caller of events that were lost in a time range, `events_lost` for each place; of ends that close
    nothing in the partitions that it needs, `orphan_ends`; and of spans that were never recorded, at whatever time, for
    want of room, `spans_dropped`.

    Args:
        summaries: those of the runs that the range needs, by index.

    Returns:
        The runs before which events were lost.
    """
    # What is lost was anywhere between the events before and after it; nobody knows when a stream's first ones were.
    ends_before = [run.end_time for run in stream.plan.runs[:-1]]
    holed = [
        run
        for run, end_before in zip(stream.plan.runs, [stream.start_time_ns, *ends_before], strict=False)
        if run.lost_before and run.begin_time >= time_range.begin_ns and end_before <= time_range.end_ns
    ]
    for run in holed:
        tell(query, "events_lost", stream, nb_events=run.lost_before, time_ns=run.begin_time)
    nb_orphans = stream.plan.orphan_ends(summaries)
    if nb_orphans:
        tell(query, "orphan_ends", stream, nb_events=nb_orphans)
    if stream.stream.dropped_spans:
        tell(query, "spans_dropped", stream, nb_spans=stream.stream.dropped_spans)
    return holed
