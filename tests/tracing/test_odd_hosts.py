"""Programs that name things strangely, are interrupted, or fork at the wrong moment."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from tests.tracing.recorded import MemorySink, settings, tree
from tests.tracing.servers import TracingServer, tracing_server

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One that refuses what it cannot keep."""
    with tracing_server(str(tmp_path_factory.mktemp("odd") / "lake")) as running:
        yield running


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "ä\0\udcff", ""], ids=ascii)
def test_any_text_can_be_sent(name: str, server: TracingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of threads, properties, the environment: what no database takes is replaced."""
    monkeypatch.setattr("platform.node", lambda: name)
    with tracing.start(server.http_url, properties={"odd": name, f"key {name}": ""}) as session:

        def work() -> None:
            with tracing.span(f"span {name}"):
                pass

        thread = threading.Thread(target=work, name=f"thread {name}")
        thread.start()
        thread.join()
        assert session.flush(TIMEOUT_S)
    with connect(server.url) as client:
        spans = client.query(f"SELECT thread_name, name FROM process_spans('{session.process_id}', 'thread')")
        readable = name.encode("utf-8", "replace").decode().replace("\0", "?")
        assert spans.to_pylist() == [{"thread_name": f"thread {readable}", "name": f"span {readable}"}]


def test_code_without_lines_is_traced(server: TracingServer) -> None:
    """As some generated code is."""
    code = compile("with tracing.span('lineless'): pass", "generated", "exec")
    with tracing.start(server.http_url) as session:
        exec(code.replace(co_linetable=b""), {"tracing": tracing})
        assert session.flush(TIMEOUT_S)
        assert session.statistics().refused_events == 0


def test_what_signal_handlers_record_is_not_refused(server: TracingServer) -> None:
    """They may run between a reading of the clock and its recording; the sender may come by just then."""

    def handle(number: int, frame: FrameType | None) -> None:
        with tracing.span("handler"):
            pass
        time.sleep(0.005)

    before: Any = signal.signal(signal.SIGALRM, handle)
    try:
        with tracing.start(
            server.http_url, settings=tracing.Settings(send_every_s=0.001, stop_timeout_s=60.0)
        ) as session:
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                with tracing.span("work"):
                    pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert session.flush(TIMEOUT_S)
            assert session.statistics().refused_events == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_spans_that_interleave_on_a_thread_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """As they do where they are held across `await`, or a switch of greenlets: begins and ends match all the same."""

    async def hold(name: str) -> None:
        for _ in range(3):
            with tracing.span(name):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(hold("one"), hold("other"))

    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()) as session:
        asyncio.run(both())
        assert session.flush()
        misplaced = session.statistics().misplaced_ends
    assert misplaced > 0
    assert f"{misplaced} spans were left in another order" in caplog.text
    assert sorted(tree(sink.of_thread("MainThread")).split()) == ["one"] * 3 + ["other"] * 3


def test_a_flush_of_what_has_ended_is_answered() -> None:
    """Also in a child, which does not have the thread that sends. (A flush that is out of time returns False.)"""
    session = tracing.start(sink=lambda: MemorySink(), settings=settings())
    assert session.stop()
    assert session.flush(TIMEOUT_S)
    child = os.fork()
    if child == 0:
        os._exit(0 if session.flush(TIMEOUT_S) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_flush_while_the_last_one_ends_is_answered() -> None:
    """The thread that sends has looked for requests for the last time, and is not over yet."""

    class Closing(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.is_closing = threading.Event()
            self.may_end = threading.Event()

        def close(self) -> None:
            self.is_closing.set()
            self.may_end.wait(TIMEOUT_S)

    sink = Closing()
    session = tracing.start(sink=lambda: sink, settings=settings())
    with ThreadPoolExecutor(2) as threads:
        stopped = threads.submit(session.stop)
        assert sink.is_closing.wait(TIMEOUT_S)
        flushed = threads.submit(session.flush, TIMEOUT_S)
        while not flushed.running():
            pass
        sink.may_end.set()
        assert stopped.result(TIMEOUT_S)
        assert flushed.result(TIMEOUT_S)
