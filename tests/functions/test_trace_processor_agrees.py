"""Perfetto's own trace processor sees in our traces what our reader of traces sees, and so what the model says."""

from collections import Counter

import pytest
from hypothesis import assume, given

from tests.model import examples
from tests.model.examples import begin, calls, end, task_begin, task_end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, deliver, ingest_blocks, ingest_process, partitioned_like
from tests.model.spans import stream_spans
from tests.model.strategies import ALL_TIME, Delivery, deliveries, effort, processes
from tests.model.telemetry import Block, Process, cut
from tests.model.trace_reader import Slice, Trace, read_trace
from tests.support.trace_processor import TraceProcessor
from udtf.functions.settings import MIN_CHUNK_BYTES, QuerySettings
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine

SliceRow = tuple[object, ...]


def _read(trace: Trace) -> Counter[SliceRow]:
    return Counter(
        (track.thread_id, track.thread_name, s.begin_ns, s.duration_ns, _depth(s.name, s.depth), s.name, *_source(s))
        for track in trace.tracks.values()
        for s in track.slices + track.instants
    )


def _depth(name: str, depth: int) -> int | None:
    """A depth to compare: the trace processor nests marks of the same moment into one another."""
    return None if name.endswith(" events lost") else depth


def _source(read: Slice) -> tuple[str | None, int | None]:
    """Where a scope is, as the trace processor tells it: it turns backslashes in names of files."""
    if read.source is None:
        return None, None
    filename, line = read.source
    return filename.replace("\\", "/"), line


def _processed(trace_processor: TraceProcessor, data: bytes) -> Counter[SliceRow]:
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    return Counter(
        (
            s.thread_id,
            s.thread_name,
            s.begin_ns,
            s.duration_ns,
            _depth(s.name or "", s.depth),
            s.name or "",
            s.file,
            s.line,
        )
        for s in loaded.slices()
    )


def _assert_all_agree(trace_processor: TraceProcessor, reader: Reader, process: Process, delivery: Delivery) -> None:
    data = reader.trace_bytes(process.process_id, "both", ALL_TIME)
    trace = read_trace(data)
    assert _processed(trace_processor, data) == _read(trace)
    assert_trace_is_model(trace, process, delivery.blocks, "both", ALL_TIME)


@effort(5)
@given(delivery=deliveries(processes(min_streams=2)))
def test_the_trace_processor_agrees_about_random_traces(
    lake: Lake, reader: Reader, trace_processor: TraceProcessor, delivery: Delivery
) -> None:
    """Times, depths, names, threads and source locations, slice by slice, and no error in its statistics."""
    with partitioned_like(delivery):
        texts = (e.scope.name + e.scope.filename for s in delivery.process.streams for e in s.events)
        assume("\0" not in "".join(texts))  # The trace processor's answers cannot hold it.
        deliver(lake, delivery)
        _assert_all_agree(trace_processor, reader, delivery.process, delivery)


def test_the_trace_processor_agrees_about_holes_ties_and_overlaps(
    lake: Lake, reader: Reader, trace_processor: TraceProcessor
) -> None:
    """The cases that trace formats get wrong, in one trace."""
    ties = (begin(7, "a"), begin(7, "b"), end(7), begin(7, "c"), end(7), end(7), begin(7, "d"), end(8))
    open_ones = (begin(1, "open"), begin(2, "inner"), *calls(5, 10), begin(200, "after"), end(300))
    tasks = (
        task_begin(0, 1, name="root"),
        task_begin(0, 2, 1, 1, "child"),
        task_begin(5, 3, 1, 1, "overlapping child"),
        task_begin(6, 4, 2, 2, "grandchild"),
        task_end(7, 4),
        task_end(7, 2),
        task_begin(7, 5, name="another root"),
        task_end(9, 3),
        task_end(9, 1),
        task_begin(10, 6, 1, 1, "late child"),
        task_begin(10, 7, 6, 2, "never ends"),
        task_end(12, 5),
        task_end(12, 6),
    )
    process = examples.process(
        examples.thread(*ties, name="ties"),
        examples.thread(*open_ones, name="hole"),
        examples.thread(name="silent"),
        examples.tasks(*tasks),
    )
    blocks = [block for stream in process.streams for block in cut(stream, [2, 10])]
    blocks = [b for b in blocks if b.stream.thread_name != "hole" or b.object_offset != 2]
    ingest_process(lake, process)
    ingest_blocks(lake, blocks)
    _assert_all_agree(trace_processor, reader, process, Delivery(process, (tuple(blocks),)))


def test_the_trace_processor_agrees_about_a_trace_of_many_chunks(lake: Lake, trace_processor: TraceProcessor) -> None:
    """Threads larger than a chunk, cut wherever a chunk is full."""
    reader = Reader(QueryEngine(lake, QuerySettings(chunk_bytes=MIN_CHUNK_BYTES)))
    process = examples.process(
        *(examples.thread(*calls(1_500), name=f"worker {i}") for i in range(4)),
        examples.tasks(
            *(task_begin(2 * i, i + 1, name=f"task {i}") for i in range(300)),
            *(task_end(10_000 + i, i + 1, name=f"task {i}") for i in range(300)),
        ),
    )
    blocks = tuple(block for stream in process.streams for block in cut(stream, range(1_700, 6_000, 1_700)))
    ingest_process(lake, process)
    ingest_blocks(lake, blocks)
    assert len(reader.chunks(process.process_id, "both", ALL_TIME)) > 3
    _assert_all_agree(trace_processor, reader, process, Delivery(process, (blocks,)))


@pytest.mark.parametrize("kind", ["thread", "tasks", "hole"])
def test_a_stack_deeper_than_the_viewer_takes_keeps_its_times(
    kind: str, lake: Lake, reader: Reader, trace_processor: TraceProcessor
) -> None:
    """The trace processor drops a slice below 512 others, and then takes its end for another's."""
    depth = 700
    blocks: list[Block] = []
    if kind == "tasks":
        begins = [task_begin(i, i + 1, i, i, f"task {i}") for i in range(depth)]
        ends = [task_end(2 * depth - i, i + 1, i, i, f"task {i}") for i in reversed(range(depth))]
        stream = examples.tasks(*begins, *ends)
    else:
        stream = examples.thread(*(begin(i, f"f{i}") for i in range(depth)), *(end(depth + i) for i in range(depth)))
    if kind == "hole":
        stream = examples.thread(*(begin(i, f"f{i}") for i in range(depth)), end(depth), *calls(3, depth))
        blocks = [block for block in cut(stream, [depth, depth + 1]) if block.object_offset != depth]
    process = examples.process(stream)
    ingest_process(lake, process)
    blocks = blocks or list(cut(stream, [depth]))
    ingest_blocks(lake, blocks)
    loaded = trace_processor.load(reader.trace_bytes(process.process_id, "both", ALL_TIME))
    assert loaded.errors() == []
    spans = stream_spans(process, stream, blocks).spans
    assert {(s.begin_ns, s.duration_ns, s.name) for s in loaded.slices() if "lost" not in str(s.name)} == {
        (s.begin_ns, -1 if s.duration_ns is None else s.duration_ns, s.scope.name) for s in spans
    }
