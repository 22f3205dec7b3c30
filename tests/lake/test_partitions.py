"""Partitions come when they are needed, are seen when they are finished, and change no answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls, end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process, text_literal, timestamp
from tests.model.places import Place, StatementCounter
from tests.model.rows import Row, thread_span_rows, without
from tests.model.spans import TimeRange
from tests.model.strategies import WHOLE_LIFE
from tests.model.telemetry import Block, Process, cut
from udtf.errors import NotFound
from udtf.lake.lake import Lake


@pytest.fixture
def process(lake: Lake) -> Process:
    """Three threads of 40 calls in four blocks each, in the lake."""
    process = examples.process(*(examples.thread(*calls(40), name=f"worker {i}") for i in range(3)))
    ingest_process(lake, process)
    ingest_blocks(lake, _blocks(process))
    return process


def _blocks(process: Process) -> list[Block]:
    return [block for stream in process.streams for block in cut(stream, [33, 80, 121])]


def _view(reader: Reader, process: Process, thread: int = 0, time_range: TimeRange | None = None) -> list[Row]:
    stream_id = process.streams[thread].stream_id
    return without(reader.rows(f"SELECT * FROM view_instance('thread_spans', '{stream_id}')", time_range), "hash")


def _partitions(reader: Reader, process: Process) -> list[Row]:
    instances = {process.process_id, *(stream.stream_id for stream in process.streams)}
    return [row for row in reader.rows("SELECT * FROM list_partitions()") if row["instance_id"] in instances]


def _call(reader: Reader, verb: str, instance: str, time_range: TimeRange = WHOLE_LIFE) -> list[Row]:
    return reader.rows(
        f"SELECT * FROM {verb}_partitions('thread_spans', {text_literal(instance)}, "
        f"{timestamp(time_range.begin_ns)}, {timestamp(time_range.end_ns)})"
    )


def test_nothing_is_materialized_before_it_is_asked_for(reader: Reader, place: Place, process: Process) -> None:
    """Ingestion stores blocks and no more."""
    assert _partitions(reader, process) == []
    assert place.parquet_files() == []


def test_a_query_materializes_what_it_needs_and_reuses_it(reader: Reader, place: Place, process: Process) -> None:
    """A second query finds the first one's partitions and writes none."""
    expected = thread_span_rows(process, process.streams[0], _blocks(process))
    assert _view(reader, process) == expected
    partitions = _partitions(reader, process)
    files = place.parquet_files()
    assert {row["instance_id"] for row in partitions} == {process.streams[0].stream_id}
    assert len(files) == len(partitions) > 0
    assert _view(reader, process) == expected
    assert _partitions(reader, process) == partitions
    assert place.parquet_files() == files


def test_materialize_makes_what_a_query_would(reader: Reader, place: Place, process: Process) -> None:
    """A query after it writes nothing more."""
    _call(reader, "materialize", process.streams[0].stream_id)
    files = place.parquet_files()
    assert files
    assert _view(reader, process) == thread_span_rows(process, process.streams[0], _blocks(process))
    assert place.parquet_files() == files


def test_retire_drops_rows_and_files_and_loses_nothing(reader: Reader, place: Place, process: Process) -> None:
    """What is dropped is made again when it is needed again, from the blocks."""
    before = _view(reader, process)
    _view(reader, process, 1)
    _call(reader, "retire", process.streams[0].stream_id)
    kept = {row["instance_id"] for row in _partitions(reader, process)}
    assert kept == {process.streams[1].stream_id}
    assert len(place.parquet_files()) == len(_partitions(reader, process))
    assert _view(reader, process) == before


def test_an_unknown_instance_is_not_found(reader: Reader) -> None:
    """The message names it."""
    for sql in (
        "SELECT * FROM view_instance('thread_spans', 'nobody')",
        "SELECT * FROM view_instance('async_events', 'nobody')",
        "SELECT * FROM process_spans('nobody', 'both')",
    ):
        with pytest.raises(NotFound, match="nobody"):
            reader.rows(sql)


def test_new_blocks_are_seen_by_the_next_query(lake: Lake, reader: Reader) -> None:
    """At the end, and in a hole: what was unfinished gets its end, and ids stay."""
    events = (begin(0, "a"), begin(1, "b"), end(5), begin(6, "c"), end(8), end(9), begin(10, "d"))
    stream = examples.thread(*events)
    process = examples.process(stream)
    first, hole, last = cut(stream, [2, 4])
    ingest_process(lake, process)
    stored: list[Block] = []
    for block in (first, last, hole):
        stored.append(block)
        ingest_blocks(lake, [block])
        for _ in range(2):
            assert _view(reader, process) == thread_span_rows(process, stream, stored)
            assert _view(reader, process, 0, TimeRange(at(7), at(7))) == thread_span_rows(
                process, stream, stored, TimeRange(at(7), at(7))
            )


def test_a_span_much_longer_than_a_block_is_told_once(lake: Lake, reader: Reader) -> None:
    """Every range that touches it shows it with its true begin and end, whatever is materialized."""
    stream = examples.thread(begin(0, "long"), *calls(50, 1), end(5000), begin(6000), end(6001))
    process = examples.process(stream)
    ingest_process(lake, process)
    blocks = cut(stream, range(10, 200, 10))
    ingest_blocks(lake, blocks)
    for begin_ns, end_ns in ((500, 501), (4999, 5000), (5000, 5000), (0, 0), (2000, 4000)):
        time_range = TimeRange(at(begin_ns), at(end_ns))
        expected = thread_span_rows(process, stream, blocks, time_range)
        assert expected[0]["name"] == "long"
        assert _view(reader, process, 0, time_range) == expected


def test_partitions_of_an_instance_do_not_overlap(reader: Reader, process: Process) -> None:
    """However ranges were asked for, a block is in one partition of the instance at most."""
    for begin_ns, end_ns in ((0, 100), (300, 500), (50, 400), (0, 10**6)):
        time_range = TimeRange(at(begin_ns), at(end_ns))
        assert _view(reader, process, 0, time_range) == thread_span_rows(
            process, process.streams[0], _blocks(process), time_range
        )
    rows = sorted(_partitions(reader, process), key=lambda row: row["begin_offset"])  # type: ignore[arg-type, return-value]
    assert all(a["end_offset"] <= b["begin_offset"] for a, b in pairwise(rows))  # type: ignore[operator]


def test_two_servers_that_build_at_once_end_with_one_partition_each(place: Place, lake: Lake, process: Process) -> None:
    """The loser of a race uses the winner's file and removes its own."""
    others = [place.open() for _ in range(3)]
    barrier = threading.Barrier(4)

    def trace(one: Lake) -> bytes:
        reader = Reader.of(one)
        barrier.wait()
        return reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)

    try:
        with ThreadPoolExecutor(4) as pool:
            traces = list(pool.map(trace, [lake, *others]))
    finally:
        for other in others:
            other.close()
    assert len(set(traces)) == 1
    reader = Reader.of(lake)
    assert_trace_is_model(
        reader.trace(process.process_id, "both", WHOLE_LIFE), process, _blocks(process), "both", WHOLE_LIFE
    )
    rows = _partitions(reader, process)
    assert len({(row["instance_id"], row["stream_id"], row["begin_offset"]) for row in rows}) == len(rows)
    assert len(place.parquet_files()) == len(rows)


def test_two_servers_that_ingest_the_same_block_at_once_store_it_once(place: Place, lake: Lake) -> None:
    """All of them get their acknowledgement."""
    stream = examples.thread(*calls(20))
    process = examples.process(stream)
    ingest_process(lake, process)
    blocks = cut(stream, [20, 40, 60])
    lakes = [lake, *(place.open() for _ in range(3))]
    barrier = threading.Barrier(len(lakes))

    def send(one: Lake) -> None:
        barrier.wait()
        for block in blocks:
            ingest_blocks(one, [block])

    try:
        with ThreadPoolExecutor(len(lakes)) as pool:
            list(pool.map(send, lakes))
    finally:
        for other in lakes[1:]:
            other.close()
    assert len(place.blobs()) == len(blocks)
    assert _view(Reader.of(lake), process) == thread_span_rows(process, stream, blocks)


def test_another_server_sees_what_was_acknowledged(place: Place, process: Process) -> None:
    """A lake opened anew answers the same."""
    other = place.open()
    try:
        expected = thread_span_rows(process, process.streams[2], _blocks(process))
        assert _view(Reader.of(other), process, 2) == expected
    finally:
        other.close()


@pytest.mark.parametrize("warm", [False, True])
def test_the_number_of_database_reads_does_not_grow_with_threads(warm: bool, lake: Lake, reader: Reader) -> None:
    """Freshness of all threads is asked for at once; only a partition's own commit may look at its rivals."""

    def reads(nb_threads: int) -> int:
        process = examples.process(*(examples.thread(*calls(5)) for _ in range(nb_threads)))
        ingest_process(lake, process)
        ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [10])])
        if warm:
            reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
        with StatementCounter() as counter:
            reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
        # A commit locks rows and looks at rivals; how many commits there are is a matter of timing.
        reads = (statement for statement in counter.statements if statement.startswith("SELECT"))
        return sum(1 for read in reads if not read.endswith("FOR UPDATE") and "partitions.end_offset > " not in read)

    assert reads(2) == reads(12)


def test_partition_writes_of_a_warm_trace_are_none(lake: Lake, reader: Reader, process: Process) -> None:
    """A trace of what is materialized only reads."""
    reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
    with StatementCounter() as counter:
        reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
    verbs = {statement.split(None, 1)[0].upper() for statement in counter.statements}
    assert verbs.isdisjoint({"INSERT", "UPDATE", "DELETE"})
