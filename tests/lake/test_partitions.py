"""Partitions come when they are needed, are seen when they are finished, and change no answer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls, end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process, text_literal, timestamp
from tests.model.places import Place, StatementCounter
from tests.model.rows import Row, thread_span_rows, without
from tests.model.spans import TimeRange
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, cut
from udtf.errors import NotFound
from udtf.lake.lake import Lake


@pytest.fixture
def process(lake: Lake) -> Process:
    """Three threads of 40 calls in four blocks each, in the lake: four uploads, each of a block a thread."""
    process = examples.process(*(examples.thread(*calls(40), name=f"worker {i}") for i in range(3)))
    ingest_process(lake, process)
    for upload in range(4):
        ingest_blocks(lake, _blocks(process)[upload::4])
    return process


def _blocks(process: Process) -> list[Block]:
    return [block for stream in process.streams for block in cut(stream, [33, 80, 121])]


def _view(reader: Reader, process: Process, thread: int = 0, time_range: TimeRange | None = None) -> list[Row]:
    stream_id = process.streams[thread].stream_id
    return without(reader.rows(f"SELECT * FROM view_instance('thread_spans', '{stream_id}')", time_range), "hash")


def _partitions(reader: Reader, process: Process) -> list[Row]:
    return reader.rows(f"SELECT * FROM list_partitions() WHERE process_id = {text_literal(process.process_id)}")


def _nb_segments(lake: Lake, process: Process) -> int:
    return lake.metadata.history(process.process_id).nb_segments


def _call(reader: Reader, verb: str, instance: str, time_range: TimeRange = ALL_TIME) -> list[Row]:
    return reader.rows(
        f"SELECT nb_partitions FROM {verb}_partitions('thread_spans', {text_literal(instance)}, "
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
    assert len(files) == len(partitions) > 0
    assert set(files) == {row["path"] for row in partitions}
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


def test_partitions_of_all_processes_are_made_as_micromegas_asks_for_them(
    lake: Lake, reader: Reader, process: Process
) -> None:
    """By view set, range and seconds; `time` and `msg` are what its client prints."""
    other = examples.process(examples.thread(*calls(3)))
    ingest_process(lake, other)
    ingest_blocks(lake, cut(other.streams[0], [2]))
    begin_time, end_time = "'2026-01-01T00:00:00+00:00'", "'2100-01-01T00:00:00+00:00'"
    begin_ns = time.time_ns()
    making = f"materialize_partitions('thread_spans', {begin_time}, {end_time}, 3600)"
    (row,) = reader.rows(f"SELECT time, msg, nb_partitions FROM {making}")
    made = len(_partitions(reader, process)) + len(_partitions(reader, other))
    assert row["nb_partitions"] == made > len(_partitions(reader, process)) > 0
    assert row["msg"] == f"{made} partitions of thread_spans made"
    assert begin_ns <= int(str(row["time"])) <= time.time_ns()
    (row,) = reader.rows(
        f"SELECT time, msg FROM retire_partitions('thread_spans', '{other.streams[0].stream_id}', "
        f"{begin_time}, {end_time})"
    )
    assert row["msg"] == "1 partitions of thread_spans retired"
    assert _partitions(reader, other) == []


def test_retire_drops_rows_and_files_and_loses_nothing(reader: Reader, place: Place, process: Process) -> None:
    """What is dropped is made again when it is needed again, from the blocks."""
    before = _view(reader, process)
    nb_partitions = len(_partitions(reader, process))
    # Of the four segments, the first two have events at these times.
    first_segments = TimeRange(at(0), at(300))
    assert _call(reader, "retire", process.streams[0].stream_id, first_segments) == [{"nb_partitions": 2}]
    kept = _partitions(reader, process)
    assert len(kept) == nb_partitions - 2
    assert all(int(str(row["begin_time"])) > at(300) for row in kept)
    assert set(place.parquet_files()) == {row["path"] for row in kept}
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


def test_partitions_of_a_process_do_not_overlap(reader: Reader, process: Process) -> None:
    """However ranges were asked for, a segment is in one partition at most."""
    for begin_ns, end_ns in ((0, 100), (300, 500), (50, 400), (0, 10**6)):
        time_range = TimeRange(at(begin_ns), at(end_ns))
        assert _view(reader, process, 0, time_range) == thread_span_rows(
            process, process.streams[0], _blocks(process), time_range
        )
    segments = [
        int(str(row["first_segment"])) + number
        for row in _partitions(reader, process)
        for number in range(int(str(row["nb_segments"])))
    ]
    assert sorted(segments) == sorted(set(segments)) == [0, 1, 2, 3]


def test_two_servers_that_build_at_once_end_with_one_partition_each(place: Place, lake: Lake, process: Process) -> None:
    """The loser of a race uses the winner's file; its own is garbage."""
    others = [place.open() for _ in range(3)]
    barrier = threading.Barrier(4)

    def trace(one: Lake) -> bytes:
        reader = Reader.of(one)
        barrier.wait()
        return reader.trace_bytes(process.process_id, "both", ALL_TIME)

    try:
        with ThreadPoolExecutor(4) as pool:
            traces = list(pool.map(trace, [lake, *others]))
    finally:
        for other in others:
            other.close()
    assert len(set(traces)) == 1
    reader = Reader.of(lake)
    assert_trace_is_model(
        reader.trace(process.process_id, "both", ALL_TIME), process, _blocks(process), "both", ALL_TIME
    )
    rows = _partitions(reader, process)
    assert len({(row["view_set"], row["first_segment"]) for row in rows}) == len(rows)
    lake.removal.collect_garbage()
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
    assert len(place.segments()) == len(blocks)
    assert _nb_segments(lake, process) == len(blocks)
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
    """What is known of all threads is asked for at once, and so are their partitions."""

    def reads(nb_threads: int) -> int:
        process = examples.process(*(examples.thread(*calls(5)) for _ in range(nb_threads)))
        ingest_process(lake, process)
        ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [10])])
        if warm:
            reader.trace_bytes(process.process_id, "both", ALL_TIME)
        with StatementCounter() as counter:
            reader.trace_bytes(process.process_id, "both", ALL_TIME)
        return sum(statement.startswith("SELECT") for statement in counter.statements)

    assert reads(2) == reads(12)


def test_partition_writes_of_a_warm_trace_are_none(lake: Lake, reader: Reader, process: Process) -> None:
    """A trace of what is materialized only reads."""
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    with StatementCounter() as counter:
        reader.trace_bytes(process.process_id, "both", ALL_TIME)
    verbs = {statement.split(None, 1)[0].upper() for statement in counter.statements}
    assert verbs.isdisjoint({"INSERT", "UPDATE", "DELETE"})
