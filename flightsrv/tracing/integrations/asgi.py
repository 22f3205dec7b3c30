"""A span for each request of an ASGI application (FastAPI, Starlette, Django, ...)."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flightsrv.tracing.async_spans import async_span
from flightsrv.tracing.integrations.names import Names, without_numbers

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class TracingMiddleware:
    """ASGI middleware: `app.add_middleware(TracingMiddleware)`, or `TracingMiddleware(app)`.

    A request or websocket is an async span from its first byte to its last, such as `GET /users/*`, with the attributes
    `path` and `status`.
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
        async with async_span(self._names.bounded(f"{method} {without_numbers(path)}", method), path=path) as opened:

            async def send_noted(message: Scope) -> None:
                if message["type"] == "http.response.start":
                    opened.set(status=message["status"])
                await send(message)

            await self._app(scope, receive, send_noted)
