"""Ingestion, queries, materialization and retirement at once, by two servers: every answer is true of some moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.model import examples
from tests.model.examples import begin, calls, end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process, timestamp
from tests.model.places import Place
from tests.model.rows import thread_span_rows, without
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, Stream, cut
from udtf.lake.lake import Lake

NB_ROUNDS = 12
LIFE = f"{timestamp(ALL_TIME.begin_ns)}, {timestamp(ALL_TIME.end_ns)}"


@dataclass
class Progress:
    """How many blocks of a stream have been sent and acknowledged so far."""

    process: Process
    stream: Stream
    blocks: tuple[Block, ...]
    sent: int = 0
    acknowledged: int = 0
    answers: int = 0

    def rows_after(self, nb_blocks: int) -> list[dict[str, object]]:
        return thread_span_rows(self.process, self.stream, self.blocks[:nb_blocks])


def _query_and_compare(reader: Reader, progress: Progress) -> None:
    acknowledged_before = progress.acknowledged
    rows = without(reader.rows(f"SELECT * FROM view_instance('thread_spans', '{progress.stream.stream_id}')"), "hash")
    moments = range(acknowledged_before, progress.sent + 1)
    assert any(rows == progress.rows_after(moment) for moment in moments)
    progress.answers += 1


def test_every_answer_is_true_of_some_moment(place: Place, lake: Lake) -> None:
    """A query sees all that was acknowledged before it began, and no half of anything, whatever goes on beside it."""
    stream = examples.thread(begin(0, "outermost"), *calls(NB_ROUNDS * 10, 1), end(10**6))
    process = examples.process(stream)
    ingest_process(lake, process)
    progress = Progress(process, stream, cut(stream, range(37, 10_000, 37)))
    other_lake = place.open()
    reader, other, third, fourth = (Reader.of(one) for one in (lake, other_lake) * 2)

    def ingest() -> None:
        for block in progress.blocks:
            progress.sent += 1
            ingest_blocks(lake, [block])
            progress.acknowledged += 1

    def repeat(do: Callable[[], object]) -> None:
        for _ in range(NB_ROUNDS):
            do()

    instance = f"'thread_spans', '{stream.stream_id}', {LIFE}"
    try:
        with ThreadPoolExecutor(5) as pool:
            jobs = [
                pool.submit(ingest),
                pool.submit(repeat, lambda: _query_and_compare(reader, progress)),
                pool.submit(repeat, lambda: _query_and_compare(other, progress)),
                pool.submit(repeat, lambda: third.rows(f"SELECT * FROM retire_partitions({instance})")),
                pool.submit(repeat, lambda: fourth.rows(f"SELECT * FROM materialize_partitions({instance})")),
            ]
            for job in jobs:
                job.result()
    finally:
        other_lake.close()
    assert progress.answers == 2 * NB_ROUNDS
    trace = reader.trace(process.process_id, "both", ALL_TIME)
    assert_trace_is_model(trace, process, progress.blocks, "both", ALL_TIME)
    rows = reader.rows(f"SELECT * FROM list_partitions() WHERE process_id = '{process.process_id}'")
    assert len({(row["nb_segments"], row["first_segment"]) for row in rows}) == len(rows)


def test_traces_while_partitions_are_retired_are_the_same_bytes(place: Place, lake: Lake) -> None:
    """Whoever reads a partition that another server drops makes it again."""
    process = examples.process(*(examples.thread(*calls(20), name=f"worker {i}") for i in range(6)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [30])])
    expected = Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)
    other_lake = place.open()

    def retire() -> None:
        reader = Reader.of(other_lake)
        for _ in range(NB_ROUNDS):
            for stream in process.streams:
                reader.rows(f"SELECT * FROM retire_partitions('thread_spans', '{stream.stream_id}', {LIFE})")

    def trace() -> None:
        reader = Reader.of(lake)
        for _ in range(NB_ROUNDS):
            assert reader.trace_bytes(process.process_id, "both", ALL_TIME) == expected
            assert [m["type"] for m in reader.messages] == []

    try:
        with ThreadPoolExecutor(3) as pool:
            for job in [pool.submit(retire), pool.submit(trace), pool.submit(trace)]:
                job.result()
    finally:
        other_lake.close()
