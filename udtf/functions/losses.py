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
    nothing, `orphan_ends`; and of spans that were never recorded, at whatever time, for want of room, `spans_dropped`.

    Args:
        summaries: those of the runs that the range needs, by index.

    Returns:
        The runs before which events were lost.
    """
    holed = [
        run
        for run in stream.plan.runs
        if run.lost_before and time_range.begin_ns <= run.begin_time <= time_range.end_ns
    ]
    for run in holed:
        tell(query, "events_lost", stream, nb_events=run.lost_before, time_ns=run.begin_time)
    nb_orphans = stream.plan.orphan_ends(summaries)
    if nb_orphans:
        tell(query, "orphan_ends", stream, nb_events=nb_orphans)
    if stream.stream.dropped_spans:
        tell(query, "spans_dropped", stream, nb_spans=stream.stream.dropped_spans)
    return holed
