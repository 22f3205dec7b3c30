"""Links: what a span hands over to other threads and tasks is linked to it, by itself and by hand."""

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import anyio.to_thread
import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing.trace_context import entered, received, sent_with
from tests.support.trace_processor import TraceProcessor
from tests.tracing.recorded import MemorySink, noted_at_ends, settings, tree
from tests.tracing.servers import TracingServer, tracing_server
from tests.tracing.test_children import children_of, run_file

QUIET = tracing.Settings(send_every_s=0.05, stop_timeout_s=60.0, vitals_every_s=None)

_FLOWS = """
    SELECT o_parent.name AS from_name, i_parent.name AS name, ot.name AS from_thread, it.name AS thread
    FROM flow
    JOIN slice o ON o.id = slice_out LEFT JOIN slice o_parent ON o_parent.id = o.parent_id
    JOIN slice i ON i.id = slice_in LEFT JOIN slice i_parent ON i_parent.id = i.parent_id
    JOIN thread_track ott ON ott.id = o.track_id JOIN thread ot ON ot.utid = ott.utid
    JOIN thread_track itt ON itt.id = i.track_id JOIN thread it ON it.utid = itt.utid
"""
"""The spans that flows join, and their threads."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    with tracing_server(str(tmp_path_factory.mktemp("links") / "lake")) as running:
        yield running


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def _job() -> None:
    with tracing.span("in a job"):
        pass


def _in_thread(name: str, function: Callable[[], object]) -> None:
    """Run in a thread that nothing is linked to."""
    thread = threading.Thread(target=function, name=name)
    thread.start()
    thread.join()


def test_what_is_handed_over_is_linked(server: TracingServer, trace_processor: TraceProcessor) -> None:
    """A pool, a thread, `to_thread`, `run_in_executor` and anyio out of tasks, and a queue of the program's own; in SQL
    and as the trace processor sees them."""
    jobs: queue.Queue[tuple[tracing.Origin | None, str]] = queue.Queue()

    def consume() -> None:
        origin, name = jobs.get()
        with tracing.span(name):
            tracing.link(origin)

    async def serve() -> None:
        async with tracing.async_span("request"):
            await asyncio.to_thread(_job)
            await asyncio.get_running_loop().run_in_executor(pool, _job)
            await anyio.to_thread.run_sync(_job)

    with ThreadPoolExecutor(1, "pool") as pool, tracing.start(server.http_url, settings=QUIET) as session:
        consumer = threading.Thread(target=consume, name="consumer")
        consumer.start()
        with tracing.span("submitting"):
            pool.submit(_job).result()
            list(pool.map(str, [1, 2]))
        with tracing.span("starting"):
            thread = threading.Thread(target=_job, name="started")
            thread.start()
            thread.join()
        with tracing.span("producing"):
            jobs.put((tracing.origin(), "consuming"))
        consumer.join()
        asyncio.run(serve())
    with connect(server.url) as client:
        rows = client.query(
            "SELECT name, thread_name, filename, span_id, from_span_id FROM view_instance('links', $1)",
            [session.process_id],
        ).to_pylist()
        (request,) = client.query(
            "SELECT id FROM process_spans($1, 'async') WHERE name = 'request'", [session.process_id]
        ).to_pylist()
        trace = client.trace(session.process_id, strict=True)
    asyncio_thread = next(row["thread_name"] for row in rows if row["thread_name"].startswith("asyncio"))
    tasks_threads = (asyncio_thread, "pool_0", "AnyIO worker thread")
    assert Counter(tuple(row.values()) for row in rows) == Counter(
        [
            *[("_job", thread, __file__, 0, 0) for thread in ("pool_0", "started")],
            *[("str", "pool_0", "", 0, 0)] * 2,
            ("consume", "consumer", __file__, 0, 0),
            *[("_job", thread, __file__, 0, request["id"]) for thread in tasks_threads],
        ]
    )
    loaded = trace_processor.load(trace)
    assert loaded.errors() == []
    main = threading.current_thread().name
    assert Counter((row["from_name"], row["name"], row["thread"]) for row in loaded.query(_FLOWS)) == Counter(
        [
            ("submitting", "_job", "pool_0"),
            *[("submitting", "str", "pool_0")] * 2,
            ("starting", "_job", "started"),
            ("producing", "consuming", "consumer"),
            *[(None, "_job", thread) for thread in tasks_threads],
        ]
    )
    assert len({row["from_thread"] for row in loaded.query(_FLOWS)}) == 1, main


def _recorded(run: Callable[[], object], **changes: Any) -> MemorySink:
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()._replace(**changes)):
        run()
    return sink


def _links(sink: MemorySink) -> list[dict[str, Any]]:
    return [
        row for stream_id, rows in sink.moments.items() if sink.streams[stream_id]["tags"] == ["link"] for row in rows
    ]


def test_without_an_open_span_nothing_is_linked() -> None:
    def run() -> None:
        with ThreadPoolExecutor(1, "pool") as pool:
            pool.submit(_job).result()
            _in_thread("started", _job)
            assert tracing.origin() is None
            tracing.link(None)
            with tracing.span("origin"):
                origin = tracing.origin()
            tracing.link(origin)

    sink = _recorded(run)
    assert _links(sink) == []
    assert tree(sink.of_thread("pool_0")) == tree(sink.of_thread("started")) == "in a job"


def test_links_can_be_switched_off_and_go_with_the_recording() -> None:
    """What was there before is there again; a hook that another library has put over ours stays, and does no harm."""
    submit, start = ThreadPoolExecutor.submit, threading.Thread.start

    def run() -> None:
        with tracing.span("outer"), ThreadPoolExecutor(1, "pool") as pool:
            pool.submit(_job).result()

    assert _links(_recorded(run, links=False)) == []
    (link,) = _links(_recorded(run))
    assert link["scope"]["name"] == "_job"
    assert ThreadPoolExecutor.submit is submit
    assert threading.Thread.start is start
    with pytest.MonkeyPatch.context() as patch:
        with tracing.start(sink=MemorySink, settings=settings()):
            ours = ThreadPoolExecutor.submit

            def theirs(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
                return ours(self, fn, *args, **kwargs)

            patch.setattr(ThreadPoolExecutor, "submit", theirs)
        assert ThreadPoolExecutor.submit is theirs
        assert len(_links(_recorded(run))) == 1
        assert ThreadPoolExecutor.submit is theirs
    patch_left = ThreadPoolExecutor.submit
    try:
        assert len(_links(_recorded(run))) == 1
    finally:
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]
    assert patch_left is ours


class _Odd:
    """Whatever is asked of it fails, but to be called."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self) -> str:
        return "odd"


class _Subclass(threading.Thread):
    def run(self) -> None:
        _job()


def test_whatever_is_handed_over_does_what_it_does_otherwise() -> None:
    """Results, exceptions, refusals, and what is left of a thread."""
    found: list[Any] = []

    def run() -> None:
        with tracing.span("outer"):
            pool = ThreadPoolExecutor(1, "pool")
            mock = MagicMock(return_value=3)
            functions = (_Odd(), mock, partial(partial(max, 1), 2), "text".upper)
            assert [pool.submit(f).result() for f in functions] == ["odd", 3, 2, "TEXT"]
            with pytest.raises(ZeroDivisionError):
                pool.submit(divmod, 1, 0).result()
            with pytest.raises(TypeError):
                pool.submit()  # type: ignore[call-arg]
            pool.shutdown()
            with pytest.raises(RuntimeError, match="after shutdown"):
                pool.submit(_job)
            thread = _Subclass(name="subclass")
            thread.start()
            thread.join()
            with pytest.raises(RuntimeError, match="once"):
                thread.start()
            assert "run" not in vars(thread)
            thread = threading.Thread(name="own run")
            thread.run = own = lambda: found.append("ran")  # type: ignore[method-assign]
            thread.start()
            thread.join()
            assert vars(thread)["run"] is own
            refused = threading.Thread(target=_job)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(threading, "_start_new_thread", None, raising=False)
                patch.setattr(threading, "_start_joinable_thread", None, raising=False)
                with pytest.raises(TypeError):
                    refused.start()
            assert "run" not in vars(refused)

    sink = _recorded(run)
    assert found == ["ran"]
    names = [link["scope"]["name"] for link in _links(sink)]
    assert Counter(names) == Counter(["_Odd", "MagicMock", "max", "str.upper", "divmod", "_Subclass.run", "Thread.run"])
    assert tree(sink.of_thread("subclass")) == "_Subclass.run\n  in a job"


_ANYIO_LATER = """
import importlib.util, sys
from flightsrv import tracing

class Nowhere:
    def send(self, uploads): pass
    def close(self): pass

finders = list(sys.meta_path)
session = tracing.start(sink=Nowhere)
assert "anyio" not in sys.modules

import anyio, anyio.to_thread

def job():
    pass

async def main():
    async with tracing.async_span("request"):
        await anyio.to_thread.run_sync(job)
        assert await anyio.to_thread.run_sync(max, 1, 2, abandon_on_cancel=True) == 2

anyio.run(main)
backend = sys.modules["anyio._backends._asyncio"]
hooked = vars(backend.AsyncIOBackend)["run_sync_in_worker_thread"]
assert hooked.__wrapped__.__name__ == "run_sync_in_worker_thread"
assert "exec_module" not in vars(backend.__loader__)
assert sys.meta_path == finders
codes = session.recorder.scopes
assert {codes[code].name for code in range(1, len(codes) + 1)} >= {"request", "job", "max"}
tracing.stop()
assert vars(backend.AsyncIOBackend)["run_sync_in_worker_thread"] is not hooked
tracing.start(sink=Nowhere)
assert vars(backend.AsyncIOBackend)["run_sync_in_worker_thread"] is not hooked.__wrapped__
assert sys.meta_path == finders
tracing.stop()

with tracing.start(sink=Nowhere):
    pass
assert sys.meta_path == finders
"""


def test_what_is_imported_later_is_linked_as_well(tmp_path: Path) -> None:
    """The library is not imported for that, nor is it any other than without tracing."""
    run_file(tmp_path, _ANYIO_LATER)


def test_a_link_made_by_hand_goes_on_with_a_request(sink: MemorySink) -> None:
    """Its trace id is that of the span which is linked, and goes out with what is asked for within."""
    trace_id, caller = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"

    def headers() -> dict[str, str]:
        made: dict[str, str] = {}
        with sent_with(made):
            return dict(made)

    with entered(received([f"00-{trace_id}-{caller}-01"], ["a=1"])), tracing.span("producing"):
        origin = tracing.origin()
    found: list[dict[str, str]] = []

    def consume() -> None:
        with tracing.span("consuming"):
            with tracing.link(origin):
                found.append(headers())
            found.append(headers())

    async def serve() -> None:
        async with tracing.async_span("serving"):
            tracing.link(origin)

    _in_thread("consumer", consume)
    asyncio.run(serve())
    assert found[0]["traceparent"].startswith(f"00-{trace_id}-")
    assert found[0]["tracestate"] == "a=1"
    assert trace_id not in found[1]["traceparent"]
    tracing.flush()
    assert len(_links(sink)) == 2
    for stream, kind in (("consumer", "thread"), (threading.current_thread().name, "async")):
        assert noted_at_ends(sink.of_thread(stream, kind)) == [{"trace_id": trace_id}]


def test_threads_of_pools_are_not_those_of_their_first_caller() -> None:
    """Spans of later callers would be below it."""

    def run() -> None:
        with ThreadPoolExecutor(1, "pool") as pool:
            with tracing.span("first"):
                pool.submit(_job).result()
            pool.submit(_job).result()
        with tracing.span("pool of multiprocessing"), ThreadPool(1) as others:
            others.apply(_job)

    sink = _recorded(run)
    assert len(_links(sink)) == 1
    assert tree(sink.of_thread("pool_0")) == "_job\n  in a job\nin a job"
    assert [tree(events) for events in sink.events.values()].count("in a job") == 1


def test_a_link_is_within_both_spans() -> None:
    """Ticks of a clock that counts: the origin is open where the link begins, the work where it ends."""

    def run() -> None:
        with tracing.span("outer"), ThreadPoolExecutor(1, "pool") as pool:
            pool.submit(_job).result()

    sink = _recorded(run)
    (link,) = _links(sink)
    outer, work = sink.of_thread(threading.current_thread().name), sink.of_thread("pool_0")
    assert outer[0].ticks < link["from_ticks"] < outer[1].ticks
    assert work[0].ticks < link["ticks"] < work[1].ticks
    (stream_id,) = (stream_id for stream_id, events in sink.events.items() if events is outer)
    assert link["from_stream"] == stream_id


_FORKS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from flightsrv import tracing

def job():
    pass

with tracing.start(sys.argv[1], settings=tracing.Settings(vitals_every_s=None)) as session:
    with tracing.span("of the parent"):
        origin = tracing.origin()
        child = os.fork()
        if not child:
            with tracing.span("of the child"), ThreadPoolExecutor(1) as pool:
                tracing.link(origin)
                pool.submit(job).result()
            tracing.flush()
            os._exit(0)
        os.waitpid(child, 0)
        with tracing.span("later"):
            tracing.link(origin)
    print(session.process_id)
"""


def test_a_forked_child_links_its_own_spans(server: TracingServer, tmp_path: Path) -> None:
    """Origins of the parent are not in the telemetry of the child."""
    parent = run_file(tmp_path, _FORKS, server.http_url).strip()
    (child,) = children_of(server, parent)
    with connect(server.url) as client:
        for process_id, expected in ((parent, ["<module>"]), (child, ["job"])):
            rows = client.query("SELECT name FROM view_instance('links', $1)", [process_id]).to_pylist()
            assert [row["name"] for row in rows] == expected
