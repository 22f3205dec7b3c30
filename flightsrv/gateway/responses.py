"""Bytes of a trace as HTTP answers.

A failure while nothing is sent yet becomes a status. Later, it is a line where the answer is made of lines; among bytes
of a trace, the connection is closed before the answer is complete, which every HTTP client reports: half a
trace is not taken for a whole one. When the client leaves, the server's work is stopped.
"""

import asyncio
import json
import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flightsrv.client import FlightsrvError, TraceProgress
from flightsrv.gateway.compression import CODINGS
from flightsrv.gateway.errors import Busy, words_of
from flightsrv.gateway.metrics import GatewayMetrics
from flightsrv.gateway.reading import ReaderLeft, TraceReader, TraceReading, TraceRequest

MAX_STALL_S = 120.0
"""How long a client may take nothing, and keep a place that others wait for; as long as the server waits for us."""

log = logging.getLogger(__name__)


class TraceResponse(Response):
    """An answer made of a trace; what its body looks like is up to the class."""

    def __init__(
        self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics, headers: Mapping[str, str]
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["Content-Length"]
        self._reader = reader
        self._request = request
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps the server from making a trace, as long as nothing is sent."""
        with self._metrics.trace() as measured:
            try:
                reading = self._reader.read(self._request)
            except Busy:
                measured.outcome = "refused"
                raise
            watch = asyncio.create_task(_cancel_without_client(receive, reading))
            started = False
            try:
                async for piece in self.pieces(reading):
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    async with asyncio.timeout(MAX_STALL_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
                measured.outcome = "complete"
            except TimeoutError:
                measured.outcome = "cancelled"
                log.info("the trace of %s ends early: its client takes nothing any more", self._request.label)
            except ReaderLeft as error:
                measured.outcome = "cancelled"
                log.info("the trace of %s ends early: %s", self._request.label, error)
                if not started:
                    raise
            except FlightsrvError as error:
                if not started:
                    raise
                log.warning("the trace of %s ends early: %s", self._request.label, error)
                last_words = self.last_words(error)
                # Without a last piece of the body, the HTTP server closes the connection.
                if last_words:
                    await send({"type": "http.response.body", "body": last_words})
            finally:
                watch.cancel()
                reading.cancel()

    @abstractmethod
    def pieces(self, reading: TraceReading) -> AsyncIterator[bytes]:
        """The pieces of the body; it raises where the answer must not look complete."""

    def last_words(self, error: FlightsrvError) -> bytes:
        """What makes the answer complete after a failure, where it cannot be taken for a trace; else nothing."""
        return b""


class PlainTraceResponse(TraceResponse):
    """The trace as a file, compressed if the client likes."""

    def __init__(self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics, coding: str | None) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{request.label}.pftrace"',
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


class LinesResponse(TraceResponse):
    """Lines of JSON, and the bytes of the trace among or after them."""

    def __init__(self, reader: TraceReader, request: TraceRequest, metrics: GatewayMetrics) -> None:
        super().__init__(reader, request, metrics, {"Content-Type": "application/octet-stream"})
        self._told = b""

    def news(self, progress: TraceProgress) -> bytes:
        """A line that tells it, unless the last one has; else nothing."""
        line = _line(
            {
                "type": "progress",
                "message": progress.message,
                "threads_done": progress.threads_done,
                "threads_total": progress.threads_total,
                "nb_spans": progress.nb_spans,
            }
        )
        if not progress.message or line == self._told:
            return b""
        self._told = line
        return line


class GenerateResponse(LinesResponse):
    """Lines that tell progress, the line `{"type": "binary_start"}`, and then the trace.

    The first chunk, which only names the process and its threads, is held back until the second one is there: so long
    can progress be told, and a failure be said in a line.
    """

    _is_binary = False

    async def pieces(self, reading: TraceReading) -> AsyncGenerator[bytes, None]:
        first: list[bytes] = []
        second: list[bytes] = []
        async for item in reading:
            if isinstance(item, TraceProgress):
                if line := self.news(item):
                    yield line
            elif first:
                second.append(item)
                break
            else:
                first.append(item)
        self._is_binary = True
        yield _line({"type": "binary_start"})
        for chunk in (*first, *second):
            yield chunk
        async for chunk in _chunks(reading):
            yield chunk

    def last_words(self, error: FlightsrvError) -> bytes:
        return b"" if self._is_binary else _error_line(error)


class FramedResponse(LinesResponse):
    """A line before each piece of the trace, and lines that tell progress among them, to the end, which a line tells as
    well: `{"type": "complete"}` and what is missing in the trace, or `{"type": "error"}`."""

    async def pieces(self, reading: TraceReading) -> AsyncGenerator[bytes, None]:
        come = TraceProgress()
        async for item in reading:
            if isinstance(item, TraceProgress):
                come = item
                if line := self.news(item):
                    yield line
            else:
                yield _line({"type": "piece", "size_bytes": len(item)})
                yield item
        yield _line(
            {
                "type": "complete",
                "size_bytes": come.size_bytes,
                "failed_threads": [asdict(thread) for thread in come.failed_threads],
                "lost_events": come.lost_events,
                "dropped_spans": come.dropped_spans,
            }
        )

    def last_words(self, error: FlightsrvError) -> bytes:
        return _error_line(error)


async def _chunks(reading: TraceReading) -> AsyncGenerator[bytes, None]:
    async for item in reading:
        if isinstance(item, bytes):
            yield item


async def _cancel_without_client(receive: Receive, reading: TraceReading) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reading.cancel()


def _error_line(error: FlightsrvError) -> bytes:
    return _line({"type": "error", "message": words_of(error)})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
