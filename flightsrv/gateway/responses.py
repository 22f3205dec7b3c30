"""Bytes of a trace as HTTP answers.

A failure while nothing is sent yet becomes a status. Later, the connection is closed before the answer is complete,
which every HTTP client reports: nobody takes half a trace for a whole one. When the client leaves, the server's work is
stopped.
"""

import asyncio
import json
import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flightsrv.client import FlightsrvError, TraceProgress
from flightsrv.gateway.compression import CODINGS
from flightsrv.gateway.metrics import GatewayMetrics
from flightsrv.gateway.reading import ReaderLeft, TraceReader, TraceReading, TraceRequest

log = logging.getLogger(__name__)


class TraceResponse(Response):
    """An answer made of a trace; what its body looks like is up to the class."""

    def __init__(
        self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics, headers: Mapping[str, str]
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", **headers})
        del self.headers["Content-Length"]
        self._reader = reader
        self._request = request
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps the server from making a trace, as long as nothing is sent."""
        with self._metrics.trace() as measured:
            reading = self._reader.read(self._request)
            watch = asyncio.create_task(_cancel_without_client(receive, reading))
            started = False
            try:
                async for piece in self.pieces(reading):
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
            except FlightsrvError as error:
                measured.failed(is_cancelled=isinstance(error, ReaderLeft))
                if not started:
                    raise
                # Without a last piece of the body, the HTTP server closes the connection.
                level = logging.INFO if isinstance(error, ReaderLeft) else logging.WARNING
                log.log(level, "the trace of %s ends early: %s", self._request.process_id, error)
            finally:
                watch.cancel()
                reading.cancel()

    @abstractmethod
    def pieces(self, reading: TraceReading) -> AsyncIterator[bytes]:
        """The pieces of the body; it raises where the answer must not look complete."""


class PlainTraceResponse(TraceResponse):
    """The trace as a file, compressed if the client likes."""

    def __init__(self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics, coding: str | None) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{request.process_id}.pftrace"',
            "Vary": "Accept-Encoding",
        }
        if coding is not None:
            headers["Content-Encoding"] = coding
        super().__init__(reader, request, metrics, headers)
        self._coding = coding

    async def pieces(self, reading: TraceReading) -> AsyncGenerator[bytes, None]:
        chunks = _chunks(reading)
        if self._coding is None:
            async for chunk in chunks:
                yield chunk
            return
        compressor = CODINGS[self._coding]()
        async for chunk in chunks:
            compressed = await asyncio.to_thread(compressor.compress, chunk)
            if compressed:
                yield compressed
        yield compressor.finish()


class GenerateResponse(TraceResponse):
    """Lines of JSON that tell progress, the line `{"type": "binary_start"}`, and then the trace.

    The first chunk, which only names the process and its threads, is held back until the second one is there: so long
    can progress be told, and a failure be said in a line.
    """

    def __init__(self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics) -> None:
        super().__init__(reader, request, metrics, {"Content-Type": "application/octet-stream"})

    async def pieces(self, reading: TraceReading) -> AsyncGenerator[bytes, None]:
        told = b""
        first: list[bytes] = []
        second: list[bytes] = []
        try:
            async for item in reading:
                if isinstance(item, TraceProgress):
                    line = _progress_line(item)
                    if item.message and line != told:
                        told = line
                        yield line
                elif first:
                    second.append(item)
                    break
                else:
                    first.append(item)
        except FlightsrvError as error:
            if not told or isinstance(error, ReaderLeft):
                raise
            log.warning("the trace of %s was not begun: %s", self._request.process_id, error)
            yield _line({"type": "error", "message": str(error)})
            return
        yield _line({"type": "binary_start"})
        for chunk in (*first, *second):
            yield chunk
        async for chunk in _chunks(reading):
            yield chunk


async def _chunks(reading: TraceReading) -> AsyncGenerator[bytes, None]:
    async for item in reading:
        if isinstance(item, bytes):
            yield item


async def _cancel_without_client(receive: Receive, reading: TraceReading) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reading.cancel()


def _progress_line(progress: TraceProgress) -> bytes:
    return _line(
        {
            "type": "progress",
            "message": progress.message,
            "threads_done": progress.threads_done,
            "threads_total": progress.threads_total,
            "nb_spans": progress.nb_spans,
        }
    )


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
