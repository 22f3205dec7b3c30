"""A trace read in a thread of its own, for handlers that must not wait.

The client library waits for the network; the event loop must not. A thread reads and hands over what comes, two pieces
at most ahead of the handler, which therefore sets the pace: a slow browser slows the server down, and nothing piles up.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flightsrv.client import Cancelled, QueryClient, TraceProgress, TraceStream
from flightsrv.gateway.errors import Busy

log = logging.getLogger(__name__)

_PIECES_AHEAD = 2


class ReaderLeft(Cancelled):
    """The handler does not want the rest of the trace: its client has left."""


@dataclass(frozen=True)
class TraceRequest:
    """The caller and the trace that is wanted, as `QueryClient.trace_chunks` takes it."""

    client: QueryClient
    process_ids: Sequence[str]
    begin_ns: int | None
    end_ns: int | None
    span_types: str
    strict: bool

    @property
    def label(self) -> str:
        """The processes in a few words that may stand in the name of a file."""
        first, *others = self.process_ids
        return f"{first}_and_{len(others)}_more" if others else first


class TraceReader:
    """Reads traces, a bounded number at once."""

    def __init__(self, max_traces: int) -> None:
        self._max_traces = max_traces
        self._free = threading.Semaphore(max_traces)

    def read(self, request: TraceRequest) -> "TraceReading":
        """Begin to read, within a running event loop.

        Raises:
            Busy: too many traces are being read.
        """
        if not self._free.acquire(blocking=False):
            raise Busy(f"{self._max_traces} traces are being made, which is the limit; try again later")
        try:
            return TraceReading(request, self._free)
        except BaseException:  # the system gives no more threads
            self._free.release()
            raise


@dataclass(frozen=True)
class _End:
    """Nothing more comes, and why, unless the trace is whole."""

    failure: Exception | None


class TraceReading(AsyncIterator[TraceProgress | bytes]):
    """What the server says and the chunks of the trace, in the order in which they come.

    Raises, while iterating, what `TraceStream` raises; `ReaderLeft` after `cancel`.
    """

    def __init__(self, request: TraceRequest, slot: threading.Semaphore) -> None:
        self._request = request
        self._slot = slot
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[TraceProgress | bytes | _End] = asyncio.Queue()
        self._room = threading.Semaphore(_PIECES_AHEAD)
        self._lock = threading.Lock()
        self._stream: TraceStream | None = None
        self._cancelled = False
        # A daemon: a server that never answers must not keep this program from ending.
        threading.Thread(target=self._run, name=f"trace {request.label}", daemon=True).start()

    async def __anext__(self) -> TraceProgress | bytes:
        item = await self._arrived.get()
        if isinstance(item, _End):
            self._arrived.put_nowait(item)
            if item.failure is None:
                raise StopAsyncIteration
            raise item.failure
        self._room.release()
        return item

    def cancel(self) -> None:
        """Stop the server's work; harmless when the trace is complete or when called again."""
        with self._lock:
            self._cancelled = True
            stream = self._stream
        if stream is not None:
            stream.cancel()
        self._room.release()

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            self._read()
        except Exception as error:
            failure = ReaderLeft("the client has left") if self._cancelled else error
        self._slot.release()
        self._hand_over(_End(failure))

    def _read(self) -> None:
        request = self._request
        with request.client.trace_chunks(
            request.process_ids,
            begin=request.begin_ns,
            end=request.end_ns,
            span_types=request.span_types,
            strict=request.strict,
            progress=self._put,
        ) as stream:
            with self._lock:
                self._stream = stream
                if self._cancelled:
                    stream.cancel()
            for chunk in stream:
                self._put(chunk)

    def _put(self, item: TraceProgress | bytes) -> None:
        self._room.acquire()
        if self._cancelled:
            raise ReaderLeft
        self._hand_over(item)

    def _hand_over(self, item: TraceProgress | bytes | _End) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)
        except RuntimeError:
            log.debug("the event loop ended before a trace did")
