"""Whatever was recorded, however it came: a trace shows the slices of the model, no more, no less."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples as small
from tests.model.examples import at, task_begin, task_end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, deliver, ingest_blocks, ingest_process, partitioned_like, timestamp
from tests.model.spans import Span, TimeRange, stream_spans
from tests.model.strategies import ALL_TIME, Delivery, deliveries, effort, processes, time_ranges
from tests.model.telemetry import cut
from tests.model.trace_reader import read_trace
from udtf.lake.lake import Lake

SPAN_TYPES = st.sampled_from(["thread", "async", "both", "both"])


def _all_spans(delivery: Delivery) -> list[Span]:
    return [
        span
        for stream in delivery.process.streams
        for span in stream_spans(delivery.process, stream, delivery.blocks).spans
    ]


@effort(18)
@given(delivery=deliveries(), span_types=SPAN_TYPES, data=st.data())
def test_a_trace_shows_the_slices_of_the_model(
    lake: Lake, reader: Reader, delivery: Delivery, span_types: str, data: st.DataObject
) -> None:
    """Begin, duration, depth, name and thread of every span that overlaps the range."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        process = delivery.process
        time_range = data.draw(st.just(ALL_TIME) | time_ranges(_all_spans(delivery)))
        trace = reader.trace(process.process_id, span_types, time_range)
        assert_trace_is_model(trace, process, delivery.blocks, span_types, time_range)


@pytest.mark.parametrize("block_events", [1, 2, 3, 4, 10])
def test_the_end_of_a_task_is_found_in_a_later_partition(block_events: int, lake: Lake, reader: Reader) -> None:
    """However the events between are cut: the end of one task says nothing about another's."""
    begins = (task_begin(100 * i, i + 1, name=f"task {i}") for i in range(9))
    stream = small.tasks(*begins, task_end(3000, 8, name="task 7"))
    process = small.process(stream)
    blocks = cut(stream, range(0, 10, block_events))
    delivery = Delivery(process, (blocks,), partition_events=4)
    time_range = TimeRange(at(750), at(760))
    with partitioned_like(delivery):
        deliver(lake, delivery)
        trace = reader.trace(process.process_id, "async", time_range)
        assert_trace_is_model(trace, process, blocks, "async", time_range)


@effort(16)
@given(delivery=deliveries(processes(max_threads=0, max_async_streams=2, min_streams=1)))
def test_lanes_are_true_to_begin_end_and_parent(lake: Lake, reader: Reader, delivery: Delivery) -> None:
    """Tasks that overlap are on lanes of their own; only a parent has slices below it."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        trace = reader.trace(delivery.process.process_id, "async", ALL_TIME)
        assert_trace_is_model(trace, delivery.process, delivery.blocks, "async", ALL_TIME)


@effort(10)
@given(delivery=deliveries(), data=st.data())
def test_the_same_lake_gives_the_same_bytes_whatever_is_materialized(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """Partitions made before, made for another range, or dropped in between change no byte."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        process = delivery.process
        spans = _all_spans(delivery)
        time_range = data.draw(st.just(ALL_TIME) | time_ranges(spans))
        first = reader.trace_bytes(process.process_id, "both", time_range)
        for _ in range(data.draw(st.integers(1, 3))):
            _stir(reader, delivery, spans, data)
            assert reader.trace_bytes(process.process_id, "both", time_range) == first


def _stir(reader: Reader, delivery: Delivery, spans: list[Span], data: st.DataObject) -> None:
    """Makes, drops or uses partitions of one view instance for some range."""
    process = delivery.process
    instances = [("thread_spans", stream.stream_id) for stream in process.of_kind("thread")]
    instances.append(("async_events", process.process_id))
    view_set, instance = data.draw(st.sampled_from(instances))
    bounds = data.draw(st.just(ALL_TIME) | time_ranges(spans))
    match data.draw(st.sampled_from(["materialize", "retire", "retire", "query"])):
        case "query":
            reader.rows(f"SELECT * FROM view_instance('{view_set}', '{instance}')", bounds)
        case verb:
            reader.rows(
                f"SELECT * FROM {verb}_partitions('{view_set}', '{instance}', "
                f"{timestamp(bounds.begin_ns)}, {timestamp(bounds.end_ns)})"
            )


@effort(10)
@given(delivery=deliveries(), data=st.data())
def test_the_next_query_sees_blocks_that_came_meanwhile(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """After each batch, in whatever order blocks come, a trace shows what the stored blocks say so far."""
    with partitioned_like(delivery):
        process = delivery.process
        ingest_process(lake, process)
        stored = []
        spans = _all_spans(delivery)
        for batch in delivery.batches:
            ingest_blocks(lake, batch)
            stored += batch
            if data.draw(st.booleans()):
                _stir(reader, delivery, spans, data)
            time_range = data.draw(st.just(ALL_TIME) | time_ranges(spans))
            trace = reader.trace(process.process_id, "both", time_range)
            assert_trace_is_model(trace, process, stored, "both", time_range)


@effort(8)
@given(delivery=deliveries(processes()))
def test_losses_are_counted_as_the_model_counts_them(lake: Lake, reader: Reader, delivery: Delivery) -> None:
    """Events in holes, and ends that close nothing, stream by stream."""
    process, blocks = delivery.process, delivery.blocks
    with partitioned_like(delivery):
        deliver(lake, delivery)
        reader.trace_bytes(process.process_id, "both", ALL_TIME)
    told: Counter[object] = Counter()
    for message in reader.messages:
        told[message["type"], message["stream_id"]] += int(str(message["nb_events"]))
    expected: Counter[object] = Counter()
    for stream in process.streams:
        model = stream_spans(process, stream, blocks)
        expected["events_lost", stream.stream_id] = model.lost_events
        expected["orphan_ends", stream.stream_id] = model.orphan_ends
    assert told == expected


@effort(6)
@given(delivery=deliveries())
def test_every_prefix_of_the_chunks_is_a_trace(lake: Lake, reader: Reader, delivery: Delivery) -> None:
    """Chunks hold whole packets, so a viewer can open what has arrived so far."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        chunks = reader.chunks(delivery.process.process_id, "both", ALL_TIME)
        assert chunks
        nb_slices = [
            sum(len(track.slices) for track in read_trace(b"".join(chunks[:end])).tracks.values())
            for end in range(len(chunks) + 1)
        ]
        assert nb_slices == sorted(nb_slices)
