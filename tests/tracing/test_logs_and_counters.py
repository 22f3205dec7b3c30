"""Lines of logs, instants, counters and vital signs: what a program noted is in SQL and in its trace."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing.buffers import MAX_LOG_CHARS
from flightsrv.tracing.event_loops import LAG
from flightsrv.tracing.vitals import CPU, GC_PAUSE, MEMORY, THREADS
from tests.model.trace_reader import read_trace
from tests.support.trace_processor import TraceProcessor
from tests.tracing.recorded import MemorySink, settings
from tests.tracing.servers import TracingServer, tracing_server
from tests.tracing.test_children import children_of, run_file

QUIET = tracing.Settings(send_every_s=0.05, stop_timeout_s=60.0, vitals_every_s=None, links=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("moments") / "lake")) as running:
        yield running


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that is recorded, and nothing else."""
    found, handler = logging.getLogger("shop.orders"), tracing.LogHandler()
    found.addHandler(handler)
    found.setLevel(1)
    found.propagate = False
    yield found
    found.removeHandler(handler)


def rows_of(server: TracingServer, view: str, process_id: str, columns: str) -> list[tuple[Any, ...]]:
    with connect(server.url) as client:
        table = client.query(f"SELECT {columns} FROM view_instance('{view}', $1) ORDER BY time", [process_id])
    return [tuple(row.values()) for row in table.to_pylist()]


def test_what_a_program_noted_is_in_sql_and_in_its_trace(
    server: TracingServer, logger: logging.Logger, trace_processor: TraceProcessor
) -> None:
    """Lines of threads with and without spans, of all levels; instants; two counters, set by all threads."""
    queued, speed = tracing.counter("queued", "jobs"), tracing.counter("speed")
    lines: list[tuple[str | None, str, str]] = []
    values: list[tuple[str, str, float]] = []
    levels = {5: "trace", 10: "debug", 20: "info", 30: "warn", 35: "warn", 40: "error", 50: "fatal", 70: "fatal"}

    def work(number: int) -> None:
        name = f"worker {number}"
        for level, level_name in levels.items():
            logger.log(level, "job %d: größe %s", number, "😀" * number)
            lines.append((level_name, name, f"job {number}: größe {'😀' * number}"))
        tracing.instant(f"instant {number}")
        lines.append((None, name, f"instant {number}"))
        for value in (number, 0.5 * number, -1e300):
            queued.set(value)
            speed.set(value + 0.25)
            values.extend([("queued", "jobs", float(value)), ("speed", "", value + 0.25)])

    with tracing.start(server.http_url, settings=QUIET) as session:
        for number in range(3):
            thread = threading.Thread(target=work, args=(number,), name=f"worker {number}")
            with tracing.span("start a worker"):
                thread.start()
                thread.join()
    process_id = session.process_id
    found = rows_of(server, "log_entries", process_id, "level, thread_name, msg, target, name, filename")
    assert Counter(row[:3] for row in found) == Counter(lines)
    assert {row[3] for row in found if row[0]} == {"shop.orders"}
    assert {row[4:] for row in found} == {("work", __file__)}
    assert rows_of(server, "measures", process_id, "name, unit, value") == values
    with connect(server.url) as client:
        trace = client.trace(process_id, strict=True)
    loaded = trace_processor.load(trace)
    assert loaded.errors() == []
    shown = loaded.query(
        "SELECT slice.name, thread.name AS thread FROM slice JOIN thread_track ON track_id = thread_track.id "
        "JOIN thread USING (utid) WHERE dur = 0"
    )
    assert Counter((row["thread"], row["name"]) for row in shown) == Counter(line[1:] for line in lines)
    shown = loaded.query(
        "SELECT counter_track.name, unit, value FROM counter JOIN counter_track ON track_id = counter_track.id "
        "ORDER BY counter.ts, counter.id"
    )
    assert Counter((row["name"], row["unit"] or "", row["value"]) for row in shown) == Counter(values)
    of_threads = Counter(
        (track.thread_name or read.tracks[track.parent_uuid].thread_name, mark.annotations.get("level"), mark.name)
        for read in [read_trace(trace)]
        for track in read.tracks.values()
        for mark in track.instants
    )
    assert of_threads == Counter((thread, level, text) for level, thread, text in lines)


def test_an_exception_is_recorded_with_its_traceback(logger: logging.Logger) -> None:
    """As the formatter writes it; a message that cannot be formatted is recorded as it was given."""
    sink, handler = MemorySink(), tracing.LogHandler()
    with tracing.start(sink=lambda: sink, settings=settings()):
        try:
            raise ValueError("no such order")
        except ValueError:
            logger.exception("order %d failed", 7)
        # Not by the logger: the test runner's own handlers raise.
        for message, arguments in (("%d orders", ("many",)), (Unspeakable(), None)):
            handler.handle(logging.LogRecord("shop", logging.INFO, "file.py", 7, message, arguments, None))
    (entries,) = sink.moments.values()
    first, second, third = (str(entry["msg"]) for entry in entries)
    assert first.startswith("order 7 failed\nTraceback ")
    assert first.endswith("ValueError: no such order")
    assert second == "%d orders"
    assert third == "(Unspeakable that has no text)"


class Unspeakable:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_long_texts_are_cut(server: TracingServer) -> None:
    """At whole characters, with a mark."""
    handler = tracing.LogHandler()
    texts = ["a" * 16_383, "b" * 16_384, "😀" * 5000, "\0\ud800"]
    with tracing.start(server.http_url, settings=QUIET) as session:
        for text in texts:
            # Past all loggers: pytest's own handler would keep the last one, which cannot be encoded.
            handler.handle(logging.LogRecord("shop.orders", logging.INFO, __file__, 1, "%s", (text,), None))
    found = [text for (text,) in rows_of(server, "log_entries", session.process_id, "msg")]
    assert found == [texts[0], "b" * 16_380 + "…", "😀" * 4095 + "…", "??"]


def test_what_finds_no_room_is_dropped_and_counted(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Entries and values beyond the room of their buffers, texts beyond theirs, values that are no numbers."""
    sink = MemorySink()
    number = tracing.counter("number")
    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=5)) as session:
        for value in (float("nan"), "many", None):
            number.set(value)  # type: ignore[arg-type]
        assert session.statistics().dropped_entries == 3
        for _ in range(10_000):
            logger.info("one of many")
    dropped = session.statistics().dropped_entries - 3
    (entries,) = sink.moments.values()
    assert len(entries) + dropped == 10_000
    assert dropped > 0
    assert [row["properties"].get("dropped-entries") for row in sink.streams.values() if row["tags"] == ["log"]] == [
        str(dropped)
    ]
    assert "not all that was traced could be kept" in caplog.text


def test_a_log_has_room_for_so_much_text(logger: logging.Logger) -> None:
    """Not for more, until the sender has come by; all that was not dropped arrives."""
    sink = MemorySink()
    count = 3 * MAX_LOG_CHARS // 16_000
    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=10**6)) as session:
        for _ in range(count):
            logger.info("x" * 16_000)
    dropped = session.statistics().dropped_entries
    (entries,) = sink.moments.values()
    assert len(entries) + dropped == count
    assert len(entries) >= MAX_LOG_CHARS // 16_000


def test_nothing_is_recorded_while_nothing_records(logger: logging.Logger) -> None:
    """Nor does it fail, or remain for the next recording."""
    sink, number = MemorySink(), tracing.counter("number")
    number.set(1.0)
    logger.error("before")
    tracing.instant("before")
    with tracing.start(sink=lambda: sink, settings=settings()):
        number.set(2.0)
    number.set(3.0)
    assert [[row["value"] for row in rows] for rows in sink.moments.values()] == [[2.0]]


def test_vital_signs_are_recorded(server: TracingServer) -> None:
    """Of the process that records, as its own system tells them."""
    with tracing.start(server.http_url, settings=tracing.Settings(send_every_s=0.05, vitals_every_s=0.02)) as session:
        while session.statistics().sent_events < 16:
            time.sleep(0.01)
    found: dict[str, list[float]] = {}
    for name, value in rows_of(server, "measures", session.process_id, "name, value"):
        found.setdefault(name, []).append(value)
    # The server runs in this process, and has an event loop.
    assert found.keys() - {LAG} == {CPU, MEMORY, THREADS, GC_PAUSE}
    assert all(value >= 0 for values in found.values() for value in values)
    assert min(found[MEMORY]) > 1 << 20
    assert min(found[THREADS]) >= 2


def test_forked_children_record_theirs(server: TracingServer, tmp_path: Path) -> None:
    """Lines, instants and values of counters that were made before the fork; those of the parent stay with it."""
    program = """
        import logging
        logging.getLogger().addHandler(tracing.LogHandler())
        number = tracing.counter("number")
        with tracing.start(sys.argv[1], settings=tracing.Settings(vitals_every_s=None, stop_timeout_s=60.0)) as session:
            logging.error("of the parent")
            number.set(1)
            child = os.fork()
            if not child:
                logging.error("of the child")
                tracing.instant("instant of the child")
                number.set(2)
                os._exit(0 if tracing.flush(100) else 1)
            wait_for(child)
            print(session.process_id)
        """
    parent = run_file(tmp_path, program, server.http_url).strip()
    (child,) = children_of(server, parent)
    assert rows_of(server, "log_entries", parent, "msg") == [("of the parent",)]
    assert rows_of(server, "log_entries", child, "msg") == [("of the child",), ("instant of the child",)]
    assert rows_of(server, "measures", parent, "value") == [(1.0,)]
    assert rows_of(server, "measures", child, "value") == [(2.0,)]
