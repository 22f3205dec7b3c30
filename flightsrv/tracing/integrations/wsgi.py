"""Spans for each request of a WSGI application (Flask, Django, ...)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flightsrv.tracing.integrations.names import Names, without_numbers
from flightsrv.tracing.recorder import span
from flightsrv.tracing.trace_context import TraceContext, entered, received

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class TracingMiddleware:
    """WSGI middleware: `app.wsgi_app = TracingMiddleware(app.wsgi_app)`.

    The call of the application is a span of its thread, such as `GET /users/*`, with the attributes `path` and
    `status`, and those of its trace context. Where the body is made piece by piece, each piece is a span as well
    (`GET /users/*, body`), because the server sends between two of them.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._names = Names()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = without_numbers(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        name = self._names.bounded(f"{method} {path}", method)
        context = received(
            *([environ[key]] if key in environ else [] for key in ("HTTP_TRACEPARENT", "HTTP_TRACESTATE")),
        )
        attributes = {} if context is None else context.attributes
        with entered(context), span(name, path=environ.get("PATH_INFO", ""), **attributes) as opened:

            def start_noted(status: str, *arguments: Any) -> Any:
                opened.set(status=int(status[:3]) if status[:3].isdigit() else status)
                return start_response(status, *arguments)

            body = self._app(environ, start_noted)
        wrapper = environ.get("wsgi.file_wrapper")
        # A server looks at these itself: it sends a file, or a length.
        is_for_server = isinstance(body, (list, tuple)) or (isinstance(wrapper, type) and isinstance(body, wrapper))
        return body if is_for_server else _TracedBody(body, f"{name}, body", context)


class _TracedBody:
    """The pieces of a body, each asked for within a span."""

    def __init__(self, body: Iterable[bytes], name: str, context: TraceContext | None) -> None:
        self._body = body
        self._pieces: Iterator[bytes] | None = None
        self._name = name
        self._context = context

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._span():
            if self._pieces is None:
                self._pieces = iter(self._body)
            return next(self._pieces)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._span():
                close()

    @contextmanager
    def _span(self) -> Iterator[None]:
        attributes = {} if self._context is None else {"trace_id": self._context.trace_id}
        with entered(self._context), span(self._name, **attributes):
            yield
