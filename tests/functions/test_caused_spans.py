"""`caused_spans`: a span, what is inside of it, and what they are linked to, is what the model says."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import begin, calls, end, task_begin, task_end
from tests.model.lake import Reader, deliver, partitioned_like, text_literal, timestamp
from tests.model.spans import Span, TimeRange, stored_blocks, stream_spans
from tests.model.strategies import Delivery, deliveries, effort, processes, time_ranges
from tests.model.telemetry import Link, MomentStream, Process, Stream, cut
from udtf.errors import InvalidArgument
from udtf.lake.lake import Lake

DELIVERIES = deliveries(processes(max_threads=3, max_async_streams=1, min_streams=1, max_moment_streams=6))


def _holds(span: Span, time_ns: int) -> bool:
    return span.begin_ns <= time_ns and (span.end_ns is None or time_ns <= span.end_ns)


def _caused(delivery: Delivery, start: Span, chosen: TimeRange | None) -> Counter[tuple[str, int]]:
    """Ids of spans with their streams, by going round until nothing is new."""
    process, blocks = delivery.process, delivery.blocks
    tasks = {stream.stream_id for stream in process.streams if stream.is_async}
    spans = [
        span
        for stream in process.of_kind("both")
        for span in stream_spans(process, stream, blocks).spans
        if span.overlaps(chosen)
    ]
    links = [
        (stream, link)
        for stream in process.of_kind("link")
        for block in stored_blocks(stream, blocks)
        for link in block.events
        if chosen is None or chosen.begin_ns <= process.time_ns(link.ticks) <= chosen.end_ns
    ]
    # Async spans by their ids alone: one may be out of the range whose children are not.
    caused: set[tuple[str, int]] = {("", start.id) if start.stream_id in tasks else (start.stream_id, start.id)}

    def key(span: Span, span_id: int) -> tuple[str, int]:
        return ("" if span.stream_id in tasks else span.stream_id, span_id)

    while True:
        found = {key(span, span.id) for span in spans if key(span, span.parent) in caused}
        for stream, link in links:
            from_ns, time_ns = process.time_ns(link.from_ticks), process.time_ns(link.ticks)
            is_caused = (link.from_span_id and ("", link.from_span_id) in caused) or any(
                span.stream_id == link.from_stream and _holds(span, from_ns) and key(span, span.id) in caused
                for span in spans
            )
            if is_caused and link.span_id:
                found.add(("", link.span_id))
            elif is_caused and stream.thread is not None:
                of_thread = [span for span in spans if span.stream_id == stream.thread.stream_id]
                innermost = [span.id for span in of_thread if _holds(span, time_ns)]
                if innermost:
                    found.add((stream.thread.stream_id, max(innermost)))
        if found <= caused:
            return Counter((span.stream_id, span.id) for span in spans if key(span, span.id) in caused)
        caused |= found


@effort(10)
@given(delivery=DELIVERIES, data=st.data())
def test_what_is_caused_is_that_of_the_model(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """From any span, in any range, however telemetry came and was cut."""
    process = delivery.process
    spans = [
        span for stream in process.of_kind("both") for span in stream_spans(process, stream, delivery.blocks).spans
    ]
    if not spans:
        return
    with partitioned_like(delivery):
        deliver(lake, delivery)
        for _ in range(3):
            start = data.draw(st.sampled_from(spans))
            chosen = data.draw(st.none() | time_ranges(spans))
            rows = reader.rows(_statement(process, start.stream_id, start.id, chosen))
            assert Counter((row["stream_id"], row["id"]) for row in rows) == _caused(delivery, start, chosen)


def _statement(process: Process, stream_id: str, span_id: int, chosen: TimeRange | None = None) -> str:
    times = f", {timestamp(chosen.begin_ns)}, {timestamp(chosen.end_ns)}" if chosen else ""
    return (
        f"SELECT stream_id, thread_name, id, name, properties FROM "
        f"caused_spans({text_literal(process.process_id)}, {text_literal(stream_id)}, {span_id}{times}) ORDER BY begin"
    )


def test_a_request_is_followed_through_threads_and_tasks(lake: Lake, reader: Reader) -> None:
    """From a task to a pool, from there to another thread, and back to a task; not what else they did."""
    pool = examples.thread(
        begin(5, "other"), end(9, "other"), begin(20, "work"), *calls(1, 30), end(60, "work"), name="pool"
    )
    thread = examples.thread(
        begin(40, "further"), end(50, "further"), begin(55, "other"), end(56, "other"), name="thread"
    )
    loop = examples.thread(name="loop")
    tasks = examples.tasks(
        task_begin(1, 7, name="request"), task_begin(2, 8, 7, 1, name="child"), task_end(3, 8, 7, 1, name="child"),
        task_begin(45, 9, name="back"), task_begin(46, 10, name="other"), task_end(70, 7, name="request"),
    )  # fmt: skip
    here = examples.scope("work")
    streams = [
        _links(pool, Link(21, here, 2, loop.stream_id, from_span_id=8)),
        _links(thread, Link(41, here, 35, pool.stream_id)),
        _links(loop, Link(45, here, 42, thread.stream_id, span_id=9)),
    ]
    process = examples.process(pool, thread, loop, tasks, *streams)
    blocks = tuple(block for stream in process.streams if stream.events for block in cut(stream, []))
    deliver(lake, Delivery(process, (blocks,)))
    found = [(row["name"], row["thread_name"]) for row in reader.rows(_statement(process, tasks.stream_id, 7))]
    assert found == [
        *[("request", "async"), ("child", "async"), ("work", "pool"), ("f", "pool"), ("g", "pool")],
        *[("further", "thread"), ("back", "async")],
    ]
    with pytest.raises(InvalidArgument, match="must be that of a stream of the process"):
        reader.rows(_statement(process, "none", 7))


def _links(thread: Stream, *links: Link) -> MomentStream:
    return MomentStream(f"links-{thread.stream_id}", False, thread.thread_name, 1, links, "link", thread)
