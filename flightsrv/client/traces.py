"""A process's Perfetto trace while it arrives: chunks of bytes, progress, threads that failed."""

import errno
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from flightsrv.client.errors import ServerFailed
from flightsrv.client.streams import QueryStream
from flightsrv.client.times import MAX_NS, MIN_NS, Time, rfc3339, time_ns


@dataclass(frozen=True)
class FailedThread:
    """A thread whose spans are missing in the trace, and the server's reason."""

    stream_id: str
    message: str


@dataclass(frozen=True)
class TraceResult:
    """What came of a trace; `lost_events` never reached the lake, and the trace marks where they are missing.
    `dropped_spans` were never recorded for want of room, by the threads that the trace marks, at whatever time."""

    size_bytes: int
    chunks: int
    failed_threads: tuple[FailedThread, ...]
    lost_events: int
    dropped_spans: int = 0
    nb_spans: int = 0


@dataclass(frozen=True)
class TraceProgress:
    """How far a trace has come: `size_bytes` and `chunks` are here; the server says how many threads are done, how many
    spans it has encoded, and in `message` what it is doing. The numbers of threads are unknown until it does."""

    size_bytes: int = 0
    chunks: int = 0
    threads_done: int | None = None
    threads_total: int | None = None
    failed_threads: tuple[FailedThread, ...] = ()
    lost_events: int = 0
    message: str = ""
    nb_spans: int = 0
    dropped_spans: int = 0


_CHUNK_TYPES = [pa.int32(), pa.binary()]

ProgressCallback = Callable[[TraceProgress], None]


class TraceStream(Iterator[bytes]):
    """The chunks of a trace in order; each holds whole packets, and joined they are the trace file.

    Closing it before the end stops the server's work.

    Raises, while reading:
        ServerFailed: a chunk is missing or out of order.
        FlightsrvError: whatever the server reports half way.
    """

    def __init__(self, stream: QueryStream, on_progress: ProgressCallback | None = None) -> None:
        self._stream = stream
        self._on_progress = on_progress
        self._arrived: deque[bytes] = deque()
        self.progress = TraceProgress()

    @property
    def result(self) -> TraceResult:
        """What has come so far; of the whole trace once everything is read."""
        come = self.progress
        return TraceResult(
            come.size_bytes, come.chunks, come.failed_threads, come.lost_events, come.dropped_spans, come.nb_spans
        )

    def __next__(self) -> bytes:
        while not self._arrived:
            batch, message = self._stream.read()
            if message is not None:
                self._advance(_after_message(self.progress, message))
            first_id = self.progress.chunks + len(self._arrived)
            if batch.schema.types != _CHUNK_TYPES or any(column.null_count for column in batch.columns):
                raise ServerFailed(f"the rows of the trace are no chunks, got columns of {batch.schema.types}")
            for offset, (chunk_id, chunk) in enumerate(zip(*batch.columns, strict=True)):
                if chunk_id.as_py() != first_id + offset:
                    raise ServerFailed(f"chunk {first_id + offset} of the trace is missing, got {chunk_id}")
                self._arrived.append(chunk.as_py())
        chunk = self._arrived.popleft()
        self._advance(
            replace(
                self.progress,
                size_bytes=self.progress.size_bytes + len(chunk),
                chunks=self.progress.chunks + 1,
            )
        )
        return chunk

    def cancel(self) -> None:
        """Stop the server's work, from any thread; a read that waits raises `Cancelled`."""
        self._stream.cancel()

    def close(self) -> None:
        """Stop the server's work unless the trace is complete; harmless when called again."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _advance(self, progress: TraceProgress) -> None:
        if progress != self.progress:
            self.progress = progress
            if self._on_progress is not None:
                self._on_progress(progress)


def trace_statement(process_ids: Sequence[str], begin: Time | None, end: Time | None, span_types: str) -> str:
    """The SQL statement that answers with a trace of some processes.

    Raises:
        InvalidRequest: a time cannot be understood.
    """
    begin_text = rfc3339(MIN_NS if begin is None else time_ns(begin, "begin"))
    end_text = rfc3339(MAX_NS if end is None else time_ns(end, "end"))
    ids = quoted(",".join(process_ids))
    return (
        f"SELECT chunk_id, chunk_data FROM perfetto_trace_chunks({ids}, {quoted(span_types)}, "
        f"TIMESTAMP {quoted(begin_text)}, TIMESTAMP {quoted(end_text)})"
    )


def quoted(text: str) -> str:
    """The text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def write_trace(stream: TraceStream, path: str | os.PathLike[str]) -> TraceResult:
    """Write a trace to a file that appears under its name only when it is whole.

    A path that names something other than a file, such as a pipe, is written to directly.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    if target.exists() and not target.is_file():
        with target.open("wb") as sink:
            sink.writelines(stream)
        return stream.result
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with unfinished.open("xb") as sink:
            sink.writelines(stream)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return stream.result


def _after_message(progress: TraceProgress, message: dict[str, Any]) -> TraceProgress:
    """Messages of other kinds say nothing about progress."""
    match message:
        case {"type": "thread_failed", "stream_id": str(stream_id), "message": str(text)}:
            return replace(progress, failed_threads=(*progress.failed_threads, FailedThread(stream_id, text)))
        case {"type": "events_lost", "nb_events": int(number)}:
            return replace(progress, lost_events=progress.lost_events + number)
        case {"type": "spans_dropped", "nb_spans": int(number)}:
            return replace(progress, dropped_spans=progress.dropped_spans + number)
        case {
            "type": "progress",
            "message": str(text),
            "threads_done": int(done),
            "threads_total": int(total),
            "nb_spans": int(spans),
        }:
            return replace(progress, message=text, threads_done=done, threads_total=total, nb_spans=spans)
    return progress
