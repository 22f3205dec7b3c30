"""A span for each request that `httpx` sends, until the headers of its answer have come: `GET example.com`, with the
attributes `path` and `status`, and those of its trace context, which goes out with it."""

import httpx

from flightsrv.tracing.async_spans import async_span
from flightsrv.tracing.integrations.names import Names
from flightsrv.tracing.recorder import span
from flightsrv.tracing.trace_context import sent_with

_names = Names()


class TracingTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=TracingTransport())`: a span of the thread; `transport` does the work."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with (
            sent_with(request.headers) as attributes,
            span(_name(request), path=request.url.path, **attributes) as opened,
        ):
            response = self._transport.handle_request(request)
            opened.set(status=response.status_code)
            return response

    def close(self) -> None:
        self._transport.close()


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=AsyncTracingTransport())`: an async span, of the task."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with sent_with(request.headers) as attributes:
            async with async_span(_name(request), path=request.url.path, **attributes) as opened:
                response = await self._transport.handle_async_request(request)
                opened.set(status=response.status_code)
                return response

    async def aclose(self) -> None:
        await self._transport.aclose()


def _name(request: httpx.Request) -> str:
    return _names.bounded(f"{request.method} {request.url.netloc.decode('ascii')}", request.method)
