"""Programs that name things strangely, are interrupted, or fork at the wrong moment."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.server.lifecycle import RunningServer, running_server
from flightsrv.tracing import session as session_module
from flightsrv.tracing.imports import importing
from flightsrv.tracing.sinks import RefusedError
from tests.tracing.recorded import MemorySink, settings, tree

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One that refuses what it cannot keep."""
    with running_server(str(tmp_path_factory.mktemp("odd") / "lake")) as running:
        yield running


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "ä\0\udcff", ""], ids=ascii)
def test_any_text_can_be_sent(name: str, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of threads, properties, the environment: what no database takes is replaced."""
    monkeypatch.setattr("platform.node", lambda: name)
    with tracing.start(server.url, properties={"odd": name, f"key {name}": ""}) as session:

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


def test_code_without_lines_is_traced(server: RunningServer) -> None:
    """As some generated code is."""
    code = compile("with tracing.span('lineless'): pass", "generated", "exec")
    with tracing.start(server.url) as session:
        exec(code.replace(co_linetable=b""), {"tracing": tracing})
        assert session.flush(TIMEOUT_S)
        assert session.statistics().refused_events == 0


def test_a_thread_that_is_refused_does_not_keep_the_others_back() -> None:
    """Its events are counted as refused."""

    class Choosy(MemorySink):
        def send(self, table: str, batch: pa.RecordBatch) -> None:
            if table == "streams" and "bad" in str(batch["properties"]):
                raise RefusedError("not this one")
            if table == "blocks" and not set(batch["stream_id"].to_pylist()) <= set(self.streams):
                raise RefusedError("nobody knows it")
            super().send(table, batch)

    def work() -> None:
        with tracing.span("work"):
            pass

    sink = Choosy()
    with tracing.start(sink=sink, settings=settings()) as session:
        for name in ("good", "bad", "better"):
            thread = threading.Thread(target=work, name=name)
            thread.start()
            thread.join()
        assert session.flush(TIMEOUT_S)
        assert session.statistics().refused_events == 2
    assert tree(sink.of_thread("good")) == tree(sink.of_thread("better")) == "work"


def test_what_signal_handlers_record_is_not_refused(server: RunningServer) -> None:
    """They may run between a reading of the clock and its recording; the sender may come by just then."""

    def handle(number: int, frame: FrameType | None) -> None:
        with tracing.span("handler"):
            pass
        time.sleep(0.005)

    before: Any = signal.signal(signal.SIGALRM, handle)
    try:
        with tracing.start(server.url, settings=tracing.Settings(send_every_s=0.001, stop_timeout_s=60.0)) as session:
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


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1, 0.3])
def test_a_program_may_fork_whenever_it_likes(delay_s: float) -> None:
    """Also while the sender imports; the child can import the same, and trace itself."""
    program = f"""
import os, time
from flightsrv import tracing
class Sink:
    def send(self, table, batch): pass
    def close(self): pass
tracing.start(sink=Sink())
time.sleep({delay_s})
child = os.fork()
if child == 0:
    import numpy, pyarrow
    session = tracing.start(sink=Sink())
    with tracing.span("of the child"): pass
    os._exit(0 if session.flush(30) and session.statistics().sent_events == 2 else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=TIMEOUT_S, check=False).returncode == 0


def test_a_flush_of_what_has_ended_is_answered() -> None:
    """Also in a child, which does not have the thread that sends. (A flush that is out of time returns False.)"""
    session = tracing.start(sink=MemorySink(), settings=settings())
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
    session = tracing.start(sink=sink, settings=settings())
    with ThreadPoolExecutor(2) as threads:
        stopped = threads.submit(session.stop)
        assert sink.is_closing.wait(TIMEOUT_S)
        flushed = threads.submit(session.flush, TIMEOUT_S)
        while not flushed.running():
            pass
        sink.may_end.set()
        assert stopped.result(TIMEOUT_S)
        assert flushed.result(TIMEOUT_S)


def test_a_fork_waits_for_the_description_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child would find locks of the thread that is not there: of modules, of the C library."""
    is_describing, may_go_on = threading.Event(), threading.Event()
    describe = session_module.describe_process

    def describe_slowly(start: Any) -> Any:
        is_describing.set()
        assert may_go_on.wait(TIMEOUT_S)
        return describe(start)

    monkeypatch.setattr(session_module, "describe_process", describe_slowly)
    with tracing.start(sink=MemorySink(), settings=settings()):
        assert is_describing.wait(TIMEOUT_S)
        assert importing.locked()
        may_go_on.set()
        child = os.fork()
        if child == 0:
            os._exit(1 if importing.locked() else 0)
        assert os.waitpid(child, 0)[1] == 0
