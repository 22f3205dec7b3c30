"""The background sender, with receivers that are dead, slow, forgetful or hostile."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flightsrv import tracing
from tests.tracing.recorded import MemorySink, settings, tree

QUICK = tracing.Settings(vitals_every_s=None, send_every_s=0.01, stop_timeout_s=60.0)


class FailingSink(MemorySink):
    """Does what `trouble` does before it takes a batch; `trouble` may raise."""

    def __init__(self, trouble: Callable[[str, pa.RecordBatch], None]) -> None:
        super().__init__()
        self.trouble = trouble

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        self.trouble(table, batch)
        super().take(table, batch)


def record(*names: str) -> None:
    for name in names:
        with tracing.span(name):
            pass


@contextmanager
def listening_socket() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_dead_server_does_not_disturb_the_host(caplog: pytest.LogCaptureFixture) -> None:
    """Spans are recorded, nothing is raised, the end is not waited for longer than allowed, and the log says it."""
    with listening_socket() as url:
        pass
    session = tracing.start(url, settings=tracing.Settings(vitals_every_s=None, send_every_s=0.01, stop_timeout_s=0.5))
    record("one", "two")
    assert not session.flush(timeout_s=0.3)
    assert not tracing.stop()
    statistics = tracing.statistics()
    assert statistics.failed_sends > 0
    assert statistics.pending_events == 4
    assert statistics.spooled_events == 4
    assert "4 events could not be sent; they are in" in caplog.text


def test_a_server_that_never_answers_does_not_hold_up_the_end() -> None:
    """The sender is left behind where it hangs."""
    with listening_socket() as url:
        session = tracing.start(url, settings=tracing.Settings(vitals_every_s=None, send_every_s=0.01))
        record("one", "two")
        assert not session.stop(timeout_s=0.2)
        record("three")


def test_what_failed_is_sent_again_in_order() -> None:
    """Failures of any kind delay, and lose or double nothing."""
    failures = iter(range(5))

    def fail_five_times(table: str, batch: pa.RecordBatch) -> None:
        for number in failures:
            raise OSError(f"failure {number}")

    sink = FailingSink(fail_five_times)
    with tracing.start(sink=lambda: sink, settings=QUICK) as session:
        record("one", "two")
        assert session.flush()
        record("three")
    assert tree(sink.of_thread("MainThread")) == "one\ntwo\nthree"
    assert session.statistics().failed_sends == 5


def test_an_answer_that_is_lost_sends_the_same_again() -> None:
    """The receiver tells it by stream and ordinal."""
    offered: list[bytes] = []

    class Deaf(MemorySink):
        def send(self, uploads: bytes) -> None:
            offered.append(uploads)
            if len(offered) == 1:
                raise ConnectionError("stored, but the answer is lost")
            super().send(uploads)

    with tracing.start(sink=Deaf, settings=settings()) as session:
        record("one")
        assert session.flush()
    assert len(offered) == 2
    assert len(set(offered)) == 1


def test_a_refused_upload_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, the reason is in the log, and what else there was is sent, although they came together."""
    is_down = threading.Event()
    is_down.set()

    def refuse_one(table: str, batch: pa.RecordBatch) -> None:
        if is_down.is_set():
            raise ConnectionError("down")
        if table == "blocks" and 2 in pc.list_value_length(batch.column("thread_events")).to_pylist():
            raise tracing.RefusedError("two is a crowd")

    sink = FailingSink(refuse_one)
    with tracing.start(sink=lambda: sink, settings=settings()) as session:
        thread = threading.Thread(target=record, args=("refused",), name="unlucky")
        thread.start()
        thread.join()
        assert not session.flush(0.0)
        record("one", "two")
        assert not session.flush(0.0)
        is_down.clear()
        assert session.flush()
        assert session.statistics().refused_events == 2
        assert session.statistics().sent_events == 4
    assert tree(sink.of_thread("MainThread")) == "one\ntwo"
    assert "two is a crowd" in caplog.text


@pytest.mark.parametrize("streams_before", [0, 1])
def test_a_receiver_that_forgot_the_process_is_told_again(streams_before: int) -> None:
    """A server that came back with an empty lake gets the rows that streams and blocks need."""
    forgets = threading.Event()

    def forget(table: str, batch: pa.RecordBatch) -> None:
        if forgets.is_set():
            forgets.clear()
            sink.processes.clear()
            sink.streams.clear()
        if (table == "streams" and not sink.processes) or (table == "blocks" and not sink.streams):
            raise tracing.RefusedError("unknown, send it first")

    sink = FailingSink(forget)
    with tracing.start(sink=lambda: sink, settings=settings()) as session:
        record(*["forgotten"] * streams_before)
        assert session.flush()
        forgets.set()
        record("one")
        assert session.flush()
    assert tree(sink.of_thread("MainThread")).endswith("one")
    assert session.statistics().refused_events == 0


def test_what_waits_is_bounded_and_the_first_stays_whole() -> None:
    """When no more fits, spans are refused where they begin; later ones come through again."""
    is_down = threading.Event()
    is_down.set()

    def be_down(table: str, batch: pa.RecordBatch) -> None:
        if is_down.is_set():
            raise ConnectionError("down")

    sink = FailingSink(be_down)
    limits = tracing.Settings(
        send_every_s=0.001, capacity_spans=10, reserve_spans=0, max_pending_bytes=20_000, stop_timeout_s=60.0
    )
    with tracing.start(sink=lambda: sink, settings=limits) as session:
        while not session.recorder.is_congested:
            record("early")
        for _ in range(100):
            thread = threading.Thread(target=record, args=("late",), name="late")
            thread.start()
            thread.join()
        record(*["late"] * 100)
        assert session.statistics().dropped_spans > 100
        is_down.clear()
        assert session.flush()
        record("after")
    lines = tree(sink.of_thread("MainThread")).splitlines()
    assert lines[0] == "early"
    assert lines[-1] == "after"
    assert lines == sorted(lines, key=["early", "late", "after"].index)
    late = {id: row for id, row in sink.streams.items() if row["properties"].get("thread-name") == "late"}  # type: ignore[index]
    assert all(int(row["properties"]["dropped-spans"]) > 0 for row in late.values())  # type: ignore[index]
    assert not any(sink.events.get(stream_id) for stream_id in late)


def test_a_flush_ends_although_others_go_on_recording() -> None:
    """It waits for what was recorded before it, not for what comes meanwhile."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            record("work")

    with tracing.start(sink=lambda: MemorySink(), settings=QUICK) as session:
        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert session.flush()
        finally:
            is_over.set()
            thread.join()


def test_the_sink_is_closed_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Also when closing fails, which is for the log only."""

    class StubbornSink(MemorySink):
        def close(self) -> None:
            super().close()
            raise OSError("will not close")

    sink = StubbornSink()
    with tracing.start(sink=lambda: sink, settings=settings()) as session:
        assert session.flush()
    assert sink.is_closed
    assert "will not close" in caplog.text


def test_without_room_for_a_thread_tracing_is_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The host goes on, `flush` and `stop` return and say the truth, and the log says why nothing is recorded."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", fail)
    with caplog.at_level(logging.WARNING), tracing.start(sink=MemorySink, settings=settings()) as session:
        assert not session.statistics().is_recording
        record("nobody listens")
        assert session.flush()
    assert "can't start new thread" in caplog.text
    monkeypatch.undo()
    with tracing.start(sink=MemorySink, settings=settings()) as session:
        record("one")
        assert session.flush()
        assert session.statistics().sent_events == 2
