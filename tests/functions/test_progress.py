"""How far a trace is: often enough for a person, exact in the end."""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.model import examples
from tests.model.examples import calls, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process, timestamp
from tests.model.places import Place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.functions.progress import TraceProgress
from udtf.lake.lake import Lake
from udtf.views.thread_spans import ThreadSpans


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def process(lake: Lake) -> Process:
    """Three threads with 30, 20 and 10 spans, and two tasks."""
    threads = [examples.thread(*calls(count), name=f"t{count}") for count in (30, 20, 10)]
    tasks = examples.tasks(task_begin(0, 1), task_begin(5, 2), task_end(9, 1), task_end(12, 2))
    process = examples.process(*threads, tasks)
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [20])])
    return process


@pytest.mark.parametrize(("span_types", "threads"), [("both", 3), ("thread", 3), ("async", 0)])
def test_numbers_rise_and_are_exact_in_the_end(reader: Reader, process: Process, span_types: str, threads: int) -> None:
    """Threads, spans, bytes; the same cold and warm."""
    spans = reader.rows(f"SELECT count(*) AS n FROM process_spans('{process.process_id}', '{span_types}')")[0]["n"]
    for _ in ("cold", "warm"):
        trace = reader.trace_bytes(process.process_id, span_types, ALL_TIME)
        told = reader.progress
        for name in ("threads_done", "nb_spans", "size_bytes"):
            numbers: list[Any] = [message[name] for message in told]
            assert numbers == sorted(numbers)
        assert {message["threads_total"] for message in told} == {threads}
        assert told[-1] == {
            "type": "progress",
            "message": "Trace complete",
            "threads_done": threads,
            "threads_total": threads,
            "nb_spans": spans,
            "size_bytes": len(trace),
        }


@pytest.mark.parametrize("order", ["", "ORDER BY chunk_id"])
def test_a_query_gives_empty_batches_while_a_trace_is_silent(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Its reader may do something else, such as tell how far it is; whatever DataFusion does with the chunks."""
    released = threading.Event()
    build = ThreadSpans.build

    def build_late(*arguments: Any) -> Any:
        assert released.wait(60)
        return build(*arguments)

    monkeypatch.setattr(ThreadSpans, "build", build_late)
    other_lake = place.open()
    reader = Reader.of(other_lake)
    sql = (
        "SELECT chunk_id, chunk_data FROM "
        f"perfetto_trace_chunks('{process.process_id}', 'thread', {timestamp(ALL_TIME.begin_ns)}, "
        f"{timestamp(ALL_TIME.end_ns)}) {order}"
    )
    rows = 0
    with closing(reader.plan(sql).batches()) as batches:
        for batch in batches:
            rows += batch.num_rows
            if not batch.num_rows:
                released.set()
    assert released.is_set()
    assert rows == 2
    other_lake.close()


def test_the_first_message_names_a_thread(reader: Reader, process: Process) -> None:
    """By its number and its name: whichever begins first, of those that begin at once."""
    reader.trace_bytes(process.process_id, "thread", ALL_TIME)
    assert reader.progress[0]["message"] in [
        f"Processing thread {place}" for place in ("1/3: t30", "2/3: t20", "3/3: t10")
    ]
    reader.trace_bytes(process.process_id, "async", ALL_TIME)
    assert reader.progress[0]["message"] == "Fetching async spans..."


def test_no_more_than_ten_messages_a_second_and_always_the_last() -> None:
    """What is not told in between is in the next message."""
    clock = Clock()
    told: list[dict[str, object]] = []
    progress = TraceProgress(told.append, clock)
    progress.begin(50)
    progress.begin_process(50, 140)
    for number in range(50):
        progress.begin_thread(number + 1, f"t{number}")
        progress.made(nb_spans=1)
        clock.now_s += 0.03
        progress.made(threads=1)
    assert 10 <= len(told) <= 1 + 50 * 0.03 / 0.1
    progress.finish()
    assert (told[-1]["threads_done"], told[-1]["nb_spans"], told[-1]["size_bytes"]) == (50, 50, 140)


def test_a_message_goes_out_once_the_interval_is_over() -> None:
    """Neither before nor only with the next thread."""
    clock = Clock()
    told: list[dict[str, object]] = []
    progress = TraceProgress(told.append, clock)
    progress.begin(1)
    progress.begin_process(1, 0)
    progress.begin_thread(1, "main")
    steps: list[tuple[float, Callable[[], None]]] = [
        (0.05, lambda: progress.made(nb_spans=1)),
        (0.1, lambda: progress.made(nb_spans=1)),
        (0.19, lambda: progress.made(nb_spans=1)),
        (0.2, lambda: progress.made(nb_spans=1)),
    ]
    for now_s, step in steps:
        clock.now_s = now_s
        step()
    assert [message["nb_spans"] for message in told] == [0, 2, 4]
