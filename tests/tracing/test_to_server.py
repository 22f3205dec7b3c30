"""From an application's spans to a server and back by SQL."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from tests.tracing.servers import TracingServer, tracing_server
from tests.tracing.test_session import run_program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("traced") / "lake")) as running:
        yield running


def spans_of(url: str, process_id: str) -> list[tuple[str, str, int]]:
    """(thread, name, depth) of all spans of threads."""
    with connect(url) as client:
        table = client.query(
            "SELECT thread_name, name, depth FROM process_spans($1, 'thread') ORDER BY thread_name, begin, depth",
            [process_id],
        )
    return [tuple(row.values()) for row in table.to_pylist()]


def test_spans_are_found_by_sql(server: TracingServer) -> None:
    """Threads and tasks of a program, after `stop`."""

    def work(number: int) -> None:
        with tracing.span("work"):
            for _ in range(number):
                with tracing.span("part"):
                    pass

    async def request() -> None:
        async with tracing.async_span("request"):
            await asyncio.gather(step(), step())

    async def step() -> None:
        async with tracing.async_span("step"):
            await asyncio.sleep(0)

    session = tracing.start(server.http_url, properties={"version": "1"})
    threads = [threading.Thread(target=work, args=(i,), name=f"worker {i}") for i in range(3)]
    for thread in threads:
        thread.start()
    asyncio.run(request())
    for thread in threads:
        thread.join()
    assert session.stop()
    assert spans_of(server.url, session.process_id) == [
        (f"worker {i}", name, depth) for i in range(3) for name, depth in [("work", 0)] + [("part", 1)] * i
    ]
    with connect(server.url) as client:
        events = client.query("SELECT name, depth FROM view_instance('async_events', $1)", [session.process_id])
        assert sorted(events.to_pydict()["name"]) == ["request"] * 2 + ["step"] * 4


def test_a_program_ends_although_its_server_never_answers() -> None:
    """Left behind in a call, the sender does not turn the end into a crash."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        run_program(
            """
            tracing.start(sys.argv[1], settings=tracing.Settings(send_every_s=0.01, stop_timeout_s=1.0))
            with tracing.span("main"):
                time.sleep(2)
            """,
            f"http://127.0.0.1:{server.getsockname()[1]}",
        )


def test_a_server_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was recorded while it was away arrives when it is there again, in the same streams."""
    lake = str(tmp_path / "lake")
    with tracing_server(lake) as first:
        session = tracing.start(first.http_url, settings=tracing.Settings(send_every_s=0.05))
        with tracing.span("one"):
            pass
        assert session.flush()
    with tracing.span("two"):
        pass
    assert not session.flush(timeout_s=0.5)
    with tracing_server(lake, first.http_port) as second:
        with tracing.span("three"):
            pass
        assert session.stop(timeout_s=60.0)
        names = [name for _, name, _ in spans_of(second.url, session.process_id)]
    assert names == ["one", "two", "three"]
