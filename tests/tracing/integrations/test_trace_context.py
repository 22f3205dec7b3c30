"""Trace context: requests from process to process are linked, and what other tracers send is passed on."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import requests

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing.integrations.asgi import TracingMiddleware as AsgiMiddleware
from flightsrv.tracing.integrations.httpx import AsyncTracingTransport, TracingTransport
from flightsrv.tracing.integrations.requests import trace_session
from flightsrv.tracing.integrations.wsgi import TracingMiddleware as WsgiMiddleware
from flightsrv.tracing.trace_context import entered, received, sent_with
from tests.support.trace_processor import TraceProcessor
from tests.tracing.integrations.test_examples import EXAMPLES, run, running_site
from tests.tracing.recorded import MemorySink, noted_at_ends, settings
from tests.tracing.servers import TracingServer, tracing_server

TRACE, CALLER = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
HEADER = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def echo_server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The address of a server, which sends the first request of a path elsewhere, and the headers that it got."""
    got: list[dict[str, str]] = []

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.append({key[5:].lower(): value for key, value in environ.items() if key.startswith("HTTP_TRACE")})
        if environ["PATH_INFO"] == "/moved":
            start_response("302 Found", [("Location", "/here")])
        else:
            start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    server = make_server("127.0.0.1", 0, answer, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, name="echo")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (HEADER, "01"),
        (f"  {HEADER} ", "01"),
        (f"00-{TRACE}-{CALLER}-00", "00"),
        (f"00-{TRACE}-{CALLER}-ff", "03"),
        (f"42-{TRACE}-{CALLER}-01-more", "01"),
        *((header, None) for header in ("", "00", HEADER.upper(), HEADER + "-more", f"ff{HEADER[2:]}", HEADER + "1")),
        *((header, None) for header in (f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01", f"{HEADER}\n0")),
    ],
)
def test_headers_are_read_as_their_standard_says(header: str, known: str | None, sink: MemorySink) -> None:
    """What is not valid begins a trace of its own."""
    context = received([header], ["a=1", "b=2"])
    assert context is not None
    assert (context.trace_id == TRACE) == (known is not None)
    if known is None:
        assert (context.parent_span_id, context.state) == ("", "")
        assert len(context.trace_id) == 32
    else:
        assert (context.parent_span_id, context.flags, context.state) == (CALLER, known, "a=1,b=2")


def test_two_headers_or_a_state_that_is_no_header_are_not_passed_on(sink: MemorySink) -> None:
    two = received([HEADER, HEADER], [])
    odd = received([HEADER], ["a=1\r\nb: 2"])
    assert two is not None
    assert odd is not None
    assert two.trace_id != TRACE
    assert odd.state == ""


def test_what_another_tracer_sent_is_passed_on(sink: MemorySink) -> None:
    """By servers of both kinds to whatever they ask, in pools as well; trace id and state stay, and each request has an
    id of its own, also after a redirect."""
    state = "vendor=value,other=1"

    def ask(url: str) -> None:
        with requests.Session() as session:
            trace_session(session)
            session.get(f"{url}/moved")

    async def ask_from_task(url: str) -> None:
        async with httpx.AsyncClient(transport=AsyncTracingTransport(), follow_redirects=True) as client:
            await client.get(f"{url}/moved")

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.gather(ask_from_task(url), asyncio.to_thread(ask, url))

    def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
        with ThreadPoolExecutor(1) as pool, httpx.Client(transport=TracingTransport(), follow_redirects=True) as client:
            pool.submit(ask, url).result()
            client.get(f"{url}/moved")
        yield b""
        ask(url)

    with echo_server() as (url, got):
        headers = [(b"traceparent", HEADER.encode()), (b"tracestate", state.encode())]
        asyncio.run(AsgiMiddleware(asgi)({"type": "http", "path": "/", "headers": headers}, None, None))  # type: ignore[arg-type]
        environ = {"REQUEST_METHOD": "GET", "HTTP_TRACEPARENT": HEADER, "HTTP_TRACESTATE": state}
        assert list(WsgiMiddleware(wsgi)(environ, lambda *_: None)) == [b""]
        # Outside of both, each is a trace of its own.
        ask(url)
    inside, outside = got[:10], got[10:]
    assert [headers["tracestate"] for headers in inside] == [state] * 10
    assert {headers["traceparent"][:36] for headers in inside} == {f"00-{TRACE}-"}
    assert not any(TRACE in headers["traceparent"] or "tracestate" in headers for headers in outside)
    span_ids = {headers["traceparent"][36:52] for headers in got}
    assert len(span_ids - {CALLER}) == len(got) == 12
    tracing.flush()
    noted = [
        attributes
        for stream_id, row in sink.streams.items()
        if row["tags"] in (["thread"], ["async"])
        for attributes in (event.attributes for event in sink.events[stream_id])
        if "trace_id" in attributes
    ]
    assert {attributes["span_id"] for attributes in noted if "span_id" in attributes} == span_ids
    assert [attributes["parent_span_id"] for attributes in noted if "parent_span_id" in attributes] == [CALLER] * 2


def test_a_header_that_another_tracer_has_set_stays(sink: MemorySink) -> None:
    """And is what the span says."""
    with echo_server() as (url, got), httpx.Client(transport=TracingTransport()) as client:
        client.get(url, headers={"traceparent": HEADER, "tracestate": "a=1"})
        client.get(url, headers={"traceparent": "of another kind"})
        with entered(received([f"00-{'1' * 32}-{CALLER}-01"], ["b=1"])):
            request = client.build_request("GET", url)
            client.send(request)
    assert got[:2] == [{"traceparent": HEADER, "tracestate": "a=1"}, {"traceparent": "of another kind"}]
    assert got[2]["traceparent"].startswith(f"00-{'1' * 32}-")
    assert got[2]["tracestate"] == "b=1"
    assert "traceparent" not in request.headers
    tracing.flush()
    first, second, _ = noted_at_ends(sink.of_thread("MainThread"))
    assert (first["trace_id"], first["span_id"]) == (TRACE, CALLER)
    assert "trace_id" not in second


def test_nothing_is_sent_while_nothing_is_recorded() -> None:
    assert received([HEADER], []) is None
    headers: dict[str, str] = {}
    with sent_with(headers) as attributes:
        assert (headers, attributes) == ({}, {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("context") / "lake")) as running:
        yield running


_FLOWS = """
    SELECT caller.name AS caller, called.name AS called, p1.pid AS caller_pid, p2.pid AS called_pid
    FROM flow JOIN slice AS caller ON caller.id = slice_out JOIN slice AS called ON called.id = slice_in
    LEFT JOIN thread_track AS t1 ON t1.id = caller.track_id LEFT JOIN thread USING (utid)
    LEFT JOIN process_track AS q1 ON q1.id = caller.track_id
    LEFT JOIN process AS p1 ON p1.upid = coalesce(thread.upid, q1.upid)
    LEFT JOIN thread_track AS t2 ON t2.id = called.track_id LEFT JOIN thread AS th2 ON th2.utid = t2.utid
    LEFT JOIN process_track AS q2 ON q2.id = called.track_id
    LEFT JOIN process AS p2 ON p2.upid = coalesce(th2.upid, q2.upid)
"""


def statement_of(document: str, first_words: str) -> str:
    """The statement of the documentation that begins so."""
    text = (Path(__file__).parents[3] / "docs" / document).read_text()
    (statement,) = (code for code in text.split("```sql\n") if code.startswith(first_words))
    return statement.partition("```")[0]


@pytest.mark.slow
def test_requests_between_processes_are_linked(server: TracingServer, trace_processor: TraceProcessor) -> None:
    """Two servers, asked by both clients in another process: an arrow for each request from span to span, and in SQL
    the two by their ids, and all that one request did."""
    with running_site(server, "web_asgi.py") as asgi, running_site(server, "web_wsgi.py") as wsgi:
        run(server, str(EXAMPLES / "http_clients.py"), f"{asgi}/hello/you", f"{wsgi}/hello/you")
    hosts = [site.removeprefix("http://") for site in (asgi, wsgi)]
    expected = sorted((f"{kind} {host}", f"{kind} /hello/you") for host in hosts for kind in ("GET", "GET", "HEAD"))
    with connect(server.url) as client:
        ids = client.query("SELECT process_id FROM processes ORDER BY start_time")["process_id"].to_pylist()
        calls = client.query(statement_of("sql.md", "SELECT caller.exe")).to_pylist()
        named = client.query("SELECT name, properties['trace_id'] AS trace_id FROM spans('both')").to_pylist()
        requests_made = {
            row["trace_id"]: row["name"]
            for row in named
            if row["trace_id"] and row["name"].removeprefix("GET ") in hosts
        }
        found = {
            trace_id: client.query(
                statement_of("sql.md", "WITH RECURSIVE all_spans").replace("<trace_id>", trace_id)
            ).to_pylist()
            for trace_id in requests_made
        }
        loaded = trace_processor.load(client.trace(",".join(ids), strict=True))
    assert sorted(row["name"] for row in calls) == sorted(called for _, called in expected)
    assert len(found) == 4
    for trace_id, rows in found.items():
        assert [row["name"] for row in rows][:3] == [requests_made[trace_id], "GET /hello/you", "think"]
        assert {row["name"] for row in rows[3:]} <= {"GET /hello/you, body"}
        assert len({row["process_id"] for row in rows}) == 2
    assert loaded.errors() == []
    flows = loaded.query(_FLOWS)
    assert sorted((row["caller"], row["called"]) for row in flows) == expected
    assert all(row["caller_pid"] != row["called_pid"] for row in flows)
    assert len({row["caller_pid"] for row in flows}) == 1
