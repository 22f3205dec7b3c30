"""Web servers and clients: real ones, on this machine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import flask
import httpx
import pytest
import requests
import uvicorn
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from werkzeug.serving import make_server

from flightsrv import tracing
from flightsrv.tracing.integrations.asgi import TracingMiddleware as AsgiMiddleware
from flightsrv.tracing.integrations.httpx import AsyncTracingTransport, TracingTransport
from flightsrv.tracing.integrations.names import MAX_NAMES, Names, without_numbers
from flightsrv.tracing.integrations.requests import trace_session
from flightsrv.tracing.integrations.wsgi import TracingMiddleware as WsgiMiddleware
from tests.tracing.recorded import MemorySink, async_tree, noted_at_ends, settings, tree


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def asgi_application() -> FastAPI:
    app = FastAPI()
    app.add_middleware(AsgiMiddleware)

    @app.get("/users/{number}")
    async def user(number: int) -> int:
        if number == 0:
            raise HTTPException(404)
        async with tracing.async_span("look up"):
            await asyncio.sleep(0)
        return number

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(2):
                async with tracing.async_span("piece"):
                    yield b"piece "

        return StreamingResponse(pieces())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    return app


@contextmanager
def asgi_server(app: FastAPI) -> Iterator[str]:
    """The address of a uvicorn that runs the application in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_requests_of_an_asgi_application_are_spans(sink: MemorySink) -> None:
    """From begin to end, also of a stream, and of one that fails."""
    with asgi_server(asgi_application()) as url:
        answers = [requests.get(url + path, timeout=60) for path in ("/users/17", "/users/0", "/stream", "/broken")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 500]
    assert answers[2].text == "piece piece "
    tracing.flush()
    assert async_tree(sink.of_thread("uvicorn", "async")) == (
        "GET /users/*\n  look up\nGET /users/*\nGET /stream\n  piece\n  piece\nGET /broken"
    )
    noted = [attributes for attributes in noted_at_ends(sink.of_thread("uvicorn", "async")) if attributes]
    assert [(attributes["path"], attributes.get("status")) for attributes in noted] == [
        *(("/users/17", "200"), ("/users/0", "404"), ("/stream", "200"), ("/broken", None))
    ]
    assert noted[-1]["error.message"] == "broken"


def test_a_websocket_is_a_span(sink: MemorySink) -> None:
    """As long as it is open; and the messages that an application gets at its start are none."""
    app = FastAPI()

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        async with tracing.async_span("message"):
            await websocket.send_text(await websocket.receive_text())

    async def talk() -> list[str]:
        sent: list[str] = []
        received = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}])

        async def receive() -> dict[str, str]:
            return next(received)

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        traced = AsgiMiddleware(app)
        scope = {"type": "websocket", "path": "/chat", "query_string": b"", "headers": [], "subprotocols": []}
        await traced(scope, receive, send)
        return sent

    assert asyncio.run(talk())[:2] == ["websocket.accept", "websocket.send"]
    tracing.flush()
    assert async_tree(sink.of_thread("MainThread", "async")) == "WEBSOCKET /chat\n  message"


def test_requests_of_a_wsgi_application_are_spans(sink: MemorySink) -> None:
    """Each call, and the pieces of a body that is made while it is sent."""
    app = flask.Flask("shop")
    app.wsgi_app = WsgiMiddleware(app.wsgi_app)  # type: ignore[method-assign, assignment]

    @app.get("/items/<int:number>")
    def item(number: int) -> str:
        with tracing.span("look up"):
            return str(number)

    @app.get("/stream")
    def stream() -> flask.Response:
        def pieces() -> Iterator[str]:
            for _ in range(2):
                with tracing.span("make"):
                    piece = "piece "
                yield piece

        return flask.Response(pieces())

    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, name="flask")
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        texts = [requests.get(url + path, timeout=60).text for path in ("/items/12", "/stream", "/items/x1")]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert texts[:2] == ["12", "piece piece "]
    tracing.flush()
    lines = tree(sink.of_thread("flask")).splitlines()
    assert [line for line in lines if not line.endswith(", body")] == [
        *("GET /items/*", "  look up", "GET /stream", "  make", "  make", "GET /items/*")
    ]
    assert lines.count("GET /stream, body") == 4  # two pieces, the end, and the close
    noted = noted_at_ends(sink.of_thread("flask"))
    assert [(attributes["path"], attributes["status"]) for attributes in noted if "path" in attributes] == [
        *(("/items/12", "200"), ("/stream", "200"), ("/items/x1", "404"))
    ]


def test_a_wsgi_server_gets_bodies_that_it_knows_as_they_are(sink: MemorySink) -> None:
    """Lists, whose length it sends, and files."""

    class FileWrapper:
        pass

    for body in (["whole"], FileWrapper()):
        app = WsgiMiddleware(lambda environ, start_response, body=body: body)  # type: ignore[misc]
        assert app({"REQUEST_METHOD": "GET", "wsgi.file_wrapper": FileWrapper}, lambda *_: None) is body


def test_requests_of_clients_are_spans(sink: MemorySink) -> None:
    """Those of requests and of httpx, of threads and of tasks, and those that fail."""

    async def ask(url: str) -> int:
        async with httpx.AsyncClient(transport=AsyncTracingTransport()) as client:
            return (await client.get(url)).status_code

    with asgi_server(FastAPI()) as url:
        host = url.removeprefix("http://")
        with requests.Session() as session, httpx.Client(transport=TracingTransport()) as client:
            trace_session(session)
            assert session.post(f"{url}/x").status_code == 404
            assert client.get(f"{url}/x").status_code == 404
        assert asyncio.run(ask(f"{url}/x")) == 404
    with requests.Session() as session:
        trace_session(session)
        with pytest.raises(requests.ConnectionError):
            session.get(f"{url}/x")
    tracing.flush()
    assert tree(sink.of_thread("MainThread")) == f"POST {host}\nGET {host}\nGET {host}"
    assert async_tree(sink.of_thread("MainThread", "async")) == f"GET {host}"
    answered = ("/x", "404")
    *first, failed = noted_at_ends(sink.of_thread("MainThread"))
    assert [(attributes["path"], attributes["status"]) for attributes in first] == [answered, answered]
    assert (failed["path"], failed["error.type"]) == ("/x", "ConnectionError")
    (asked,) = noted_at_ends(sink.of_thread("MainThread", "async"))
    assert (asked["path"], asked["status"]) == answered


def test_names_are_bounded() -> None:
    """Callers make up paths."""
    names = Names()
    assert [names.bounded(f"GET /{number}", "GET") for number in range(MAX_NAMES + 1)][-2:] == ["GET /999", "GET"]
    assert names.bounded("GET /0", "GET") == "GET /0"
    assert without_numbers("/users/17/orders/b2f1/list") == "/users/*/orders/*/list"
