"""The result of a query while it arrives."""

import json
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pyarrow import flight

from flightsrv.client.errors import expecting_sense, translated_errors


class QueryStream(Iterator[pa.RecordBatch]):
    """Record batches in the server's order, as they arrive.

    Closing it, leaving its `with` block or cancelling it before the end stops the server's work. One thread
    reads; any thread may cancel.

    Raises, while reading:
        Cancelled: the stream was cancelled, here or by the server.
        FlightsrvError: whatever else the server reports half way.
    """

    def __init__(self, reader: flight.FlightStreamReader, on_end: Callable[[], None] | None = None) -> None:
        """`on_end` is called once, when there is nothing more to read for whatever reason."""
        self._reader = reader
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = False

    @property
    def schema(self) -> pa.Schema:
        with expecting_sense():
            return self._reader.schema

    def __next__(self) -> pa.RecordBatch:
        while True:
            batch, message = self.read()
            if message is None or batch.num_rows:
                return batch

    def read(self) -> tuple[pa.RecordBatch, dict[str, Any] | None]:
        """The next batch and what the server says with it; a batch without rows brings a message only.

        Raises:
            StopIteration: the result is complete, or this stream was closed.
        """
        if self._ended:
            raise StopIteration
        try:
            with translated_errors():
                chunk = self._reader.read_chunk()
            with expecting_sense():
                message = None if chunk.app_metadata is None else json.loads(chunk.app_metadata.to_pybytes())
        except BaseException:
            self._end()
            raise
        return chunk.data, message

    def cancel(self) -> None:
        """Stop the server's work; a read that waits in another thread raises `Cancelled`."""
        self._reader.cancel()

    def close(self) -> None:
        """Stop the server's work unless the result is complete; harmless when called again."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._reader.cancel()  # changes nothing when everything was read
        if self._on_end is not None:
            self._on_end()
