"""A span for each request of an ASGI application (FastAPI, Starlette, Django, ...)."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flightsrv.tracing.async_spans import async_span
from flightsrv.tracing.integrations.names import Names, without_numbers
from flightsrv.tracing.trace_context import TRACEPARENT, TRACESTATE, TraceContext, entered, received

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class TracingMiddleware:
    """ASGI middleware: `app.add_middleware(TracingMiddleware)`, or `TracingMiddleware(app)`.

    A request or websocket is an async span from its first byte to its last, such as `GET /users/*`, with the attributes
    `path` and `status`, and those of its trace context.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._names = Names()

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        method = str(scope.get("method", "WEBSOCKET"))
        path = scope["path"]
        name = self._names.bounded(f"{method} {without_numbers(path)}", method)
        context = _context_of(scope)
        attributes = {} if context is None else context.attributes
        async with async_span(name, path=path, **attributes) as opened:

            async def send_noted(message: Scope) -> None:
                if message["type"] == "http.response.start":
                    opened.set(status=message["status"])
                await send(message)

            with entered(context):
                await self._app(scope, receive, send_noted)


def _context_of(scope: Scope) -> TraceContext | None:
    parents, states = (
        [value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name]
        for name in (TRACEPARENT.encode(), TRACESTATE.encode())
    )
    return received(parents, states)
