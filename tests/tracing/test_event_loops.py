"""How late event loops are: real ones, of programs that do nothing for it."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing.event_loops import LAG, LAG_UNIT, EventLoops
from flightsrv.tracing.recorder import active
from flightsrv.tracing.vitals import CPU
from tests.support.trace_processor import TraceProcessor
from tests.tracing.recorded import MemorySink
from tests.tracing.servers import TracingServer, tracing_server
from tests.tracing.test_children import run_file

OFTEN = tracing.Settings(send_every_s=0.02, vitals_every_s=0.01, stop_timeout_s=60.0)


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=OFTEN):
        yield sink


def values_of(sink: MemorySink, name: str, thread_name: str | None = None) -> list[float]:
    """Those of a counter of a thread, or of the process, so far."""
    return [
        float(str(row["value"]))
        for stream_id, rows in list(sink.moments.items())
        for row in list(rows)
        if row["scope"]["name"] == name  # type: ignore[index]
        and sink.streams[stream_id]["properties"].get("thread-name") == thread_name  # type: ignore[attr-defined]
    ]


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


@contextmanager
def running_loop(name: str, make: Callable[[], Any] = asyncio.new_event_loop) -> Iterator[Any]:
    """A loop that runs in a thread of this name, and does nothing by itself."""
    loop = make()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(stopped.wait())

    stopped = asyncio.Event()
    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


def test_a_blocked_loop_is_late(sink: MemorySink) -> None:
    """By the more the longer it lasts, while it is blocked, and once more when it goes on."""
    blocked, gate = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        gate.wait()

    with running_loop("loop") as loop:
        wait_for(lambda: bool(values_of(sink, LAG, "loop")))
        loop.call_soon_threadsafe(block)
        blocked.wait()
        tracing.flush()
        before = len(values_of(sink, LAG, "loop"))
        wait_for(lambda: len(values_of(sink, LAG, "loop")) >= before + 3)
        gate.set()
        after = len(values_of(sink, LAG, "loop"))
        wait_for(lambda: len(values_of(sink, LAG, "loop")) > after)
    values = values_of(sink, LAG, "loop")[before : before + 4]
    assert values[0] > 0
    assert values == sorted(set(values))


def test_a_loop_that_was_closed_is_forgotten(sink: MemorySink) -> None:
    """Nothing keeps it, and nothing more is told of it."""
    with running_loop("loop") as loop:
        kept = weakref.ref(loop)
        wait_for(lambda: bool(values_of(sink, LAG, "loop")))
    del loop
    gc.collect()
    wait_for(lambda: kept() is None)
    tracing.flush()
    told, read = len(values_of(sink, LAG, "loop")), len(values_of(sink, CPU))
    wait_for(lambda: len(values_of(sink, CPU)) >= read + 3)
    assert len(values_of(sink, LAG, "loop")) == told


def test_a_loop_that_runs_again_is_not_late_for_the_time_between() -> None:
    """A callback that it had no turn for before it stopped does nothing."""
    sink, loop = MemorySink(), asyncio.new_event_loop()
    with tracing.start(sink=lambda: sink, settings=tracing.Settings(vitals_every_s=None)):
        recorder = active()
        assert recorder is not None
        loops = EventLoops(recorder, is_forked=False)

        def read_and_stop() -> None:
            loops.read()
            loop.stop()

        for expected in (0, 1):
            loop.call_soon(read_and_stop)
            loop.run_forever()
            if not expected:
                loops.read()
            loop.run_until_complete(asyncio.sleep(0))
            tracing.flush()
            assert len(values_of(sink, LAG, "MainThread")) == expected
    loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("loops") / "lake")) as running:
        yield running


def test_loops_of_several_threads_are_told_apart(server: TracingServer, trace_processor: TraceProcessor) -> None:
    """In SQL and in the trace, by their threads, also without a span; those that ran before as well."""
    # That of the server, which runs in this process, is one more; so may be those of other tests.
    names = {"http", *(f"loop {number}" for number in range(3))}
    expected = {(name, LAG_UNIT) for name in names}
    found: set[tuple[str, str]] = set()
    with (
        running_loop("loop 0"),
        tracing.start(server.http_url, settings=OFTEN) as session,
        running_loop("loop 1"),
        running_loop("loop 2"),
        connect(server.url) as client,
    ):
        wait_for(lambda: session.statistics().sent_events > 0)  # the server knows the process then
        while not expected <= found:
            rows = client.query(
                "SELECT DISTINCT thread_name, unit FROM view_instance('measures', $1) WHERE name = $2",
                [session.process_id, LAG],
            ).to_pylist()
            found = {(row["thread_name"], row["unit"]) for row in rows}
    with connect(server.url) as client:
        loaded = trace_processor.load(client.trace(session.process_id, strict=True))
    assert loaded.errors() == []
    shown = loaded.query(
        "SELECT DISTINCT thread.name AS thread FROM counter JOIN thread_counter_track AS track ON track_id = track.id "
        f"JOIN thread USING (utid) WHERE track.name = '{LAG}'"
    )
    assert {row["thread"] for row in shown} >= names


def test_a_program_may_import_asyncio_late_or_never(server: TracingServer, tmp_path: Path) -> None:
    """It is not imported for it."""
    program = """
        settings = tracing.Settings(send_every_s=0.02, vitals_every_s=0.01, stop_timeout_s=60.0)
        with tracing.start(sys.argv[1], settings=settings) as session:
            while session.statistics().sent_events < 16:
                time.sleep(0.01)
            assert "asyncio" not in sys.modules
            import asyncio
            async def main():
                before = session.statistics().sent_events
                while session.statistics().sent_events < before + 32:
                    await asyncio.sleep(0.01)
            asyncio.run(main())
        print(session.process_id)
        """
    process_id = run_file(tmp_path, program, server.http_url).strip()
    with connect(server.url) as client:
        found = client.query("SELECT DISTINCT thread_name, name FROM view_instance('measures', $1)", [process_id])
    assert {"thread_name": "MainThread", "name": LAG} in found.to_pylist()


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what other threads give it."""

    calls = 0

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return super().call_soon_threadsafe(*arguments, **options)


@pytest.mark.parametrize("is_forked", [False, True])
def test_a_forked_child_leaves_the_loop_of_its_parent_alone(is_forked: bool) -> None:
    """The two share what wakes it."""

    async def read() -> int:
        recorder = active()
        assert recorder is not None
        EventLoops(recorder, is_forked).read()
        return loop.calls

    loop = CountingLoop()
    with tracing.start(sink=MemorySink, settings=tracing.Settings(vitals_every_s=None)):
        assert loop.run_until_complete(read()) == (not is_forked)
    loop.close()


def test_loops_that_fail_are_left_alone(sink: MemorySink) -> None:
    """Whatever they raise."""

    class Odd(CountingLoop):
        def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> Any:
            super().call_soon_threadsafe(lambda: None)
            raise LookupError("odd")

    async def wait(loop: Odd) -> None:
        while loop.calls < 3:
            await asyncio.sleep(0.005)

    loop = Odd()
    loop.run_until_complete(wait(loop))
    loop.close()
    assert tracing.flush()
    assert tracing.statistics().failed_sends == 0
    assert values_of(sink, CPU)


def test_loops_of_uvloop_are_found(sink: MemorySink) -> None:
    """Although they are on no stack: where asyncio's runner runs them."""
    uvloop = pytest.importorskip("uvloop")
    with running_loop("loop", uvloop.new_event_loop):
        wait_for(lambda: len(values_of(sink, LAG, "loop")) >= 2)
