"""`perfetto_trace_chunks(process_id, span_types, begin, end)`: a trace of one process, in chunks of whole packets.

The way from rows to bytes: read the rows of the process -> the first chunk, its tracks, leaves -> JIT updates start for
all threads at once -> each thread is a job (`execution.ordered`): wait for its partitions, intern its scopes when it is
its turn, scan, encode -> pieces come back in thread order and are put together into chunks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from udtf.errors import UdtfError
from udtf.execution.ordered import run_ordered
from udtf.execution.turns import Turns
from udtf.functions.losses import tell, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.process_spans import SPAN_TYPES
from udtf.functions.progress import TraceProgress
from udtf.functions.table_function import Query, Rows, TableFunction, choose
from udtf.lake.async_events import AsyncPlan
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS, ProcessTelemetry
from udtf.lake.metadata import ProcessRow, StreamRow
from udtf.lake.partition_file import ScopeTable, Summary
from udtf.lake.process_view import ProcessView, StreamView
from udtf.lake.thread_spans import ThreadPlan
from udtf.metrics import timed
from udtf.perfetto.async_spans import AsyncEncoder
from udtf.perfetto.interning import InternedScopes
from udtf.perfetto.threads import ThreadEncoder
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack
from udtf.perfetto.writer import TraceWriter
from udtf.time_range import TimeRange

CHUNKS = pa.schema(
    [pa.field("chunk_id", pa.int32(), nullable=False), pa.field("chunk_data", pa.binary(), nullable=False)]
)

Piece = bytes | memoryview
"""Some whole packets."""

_NOTHING: Piece = b""
"""In place of a piece: there is none yet."""


class PerfettoTraceChunks(TableFunction):
    """See the module."""

    name = "perfetto_trace_chunks"
    parameters = (
        Parameter("process_id", "text"),
        Parameter("span_types", "text"),
        Parameter("begin", "time"),
        Parameter("end", "time"),
    )

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "span_types" in arguments:
            choose("span_types", arguments["span_types"], SPAN_TYPES)
        if "begin" in arguments and "end" in arguments:
            TimeRange(arguments["begin"], arguments["end"])
        return CHUNKS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        query.lake.metadata.process(arguments["process_id"])
        time_range = TimeRange(arguments["begin"], arguments["end"])
        progress = TraceProgress(query.context.on_message, query.tally.clock)
        trace = _Trace(query, arguments["process_id"], arguments["span_types"], time_range, progress)
        return Rows(schema, lambda: _numbered(trace.chunks()))


def _numbered(chunks: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    chunk_id = 0
    for chunk in chunks:
        if not chunk:
            yield pa.RecordBatch.from_pylist([], CHUNKS)
            continue
        offsets = pa.array([0, len(chunk)], pa.int32()).buffers()[1]
        # The bytes as they are: pa.array would copy them.
        data = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(chunk)])
        yield pa.record_batch([pa.array([chunk_id], pa.int32()), data], schema=CHUNKS)
        chunk_id += 1


@dataclass(frozen=True)
class _Trace:
    """One trace, as it is made."""

    query: Query
    process_id: str
    span_types: str
    time_range: TimeRange
    progress: TraceProgress
    turns: Turns = field(default_factory=Turns)

    def chunks(self) -> Iterator[bytes]:
        """The chunks; an empty one says that there is nothing new yet."""
        begin_s = self.query.tally.clock()
        telemetry = self.query.lake.telemetry_of(self.process_id)
        threads = self._threads(telemetry)
        writer = TraceWriter(_process_track(telemetry.process))
        descriptors = writer.descriptors(threads)
        self.progress.begin(len(threads), len(descriptors))
        yield descriptors
        jobs, max_scans = self._jobs(telemetry, threads, writer)
        pieces: Iterator[Piece] = run_ordered(
            jobs,
            max_jobs=max_scans,
            max_waiting=4 * max_scans,
            cancellation=self.query.cancellation,
            on_waiting=self.query.tally.results_waiting,
            pause=_NOTHING,
        )
        yield from _assemble(pieces, self.query.settings.chunk_bytes)
        self.progress.finish()
        self.query.tally.trace_made(self.query.tally.clock() - begin_s)

    def _threads(self, telemetry: ProcessTelemetry) -> list[ThreadTrack]:
        if self.span_types == "async":
            return []
        return [_thread_track(stream) for stream in telemetry.streams_tagged(THREAD_SPANS.stream_tag)]

    def _jobs(
        self, telemetry: ProcessTelemetry, threads: Sequence[ThreadTrack], writer: TraceWriter
    ) -> tuple[list[Callable[[], Iterator[Piece]]], int]:
        """One job per thread and per async stream, and how many to run at once; partitions that they lack are under
        way when this returns."""
        views: list[ProcessView[Any]] = []
        jobs: list[Callable[[], Iterator[Piece]]] = []
        lake = self.query.lake
        if self.span_types in ("thread", "both"):
            thread_spans = lake.view(THREAD_SPANS, telemetry, self.time_range, tally=self.query.tally)
            thread_spans.start_update()
            views.append(thread_spans)
            for stream, thread in zip(thread_spans.streams, threads, strict=True):
                jobs.append(partial(self._thread_pieces, len(jobs), stream, thread, writer))
        if self.span_types in ("async", "both"):
            async_events = lake.view(ASYNC_EVENTS, telemetry, self.time_range, tally=self.query.tally)
            async_events.start_update()
            views.append(async_events)
            for async_stream in async_events.streams:
                jobs.append(partial(self._async_pieces, len(jobs), async_stream, writer))
        return jobs, self.query.scans_at_once(*views)

    def _thread_pieces(
        self, turn: int, stream: StreamView[ThreadPlan], thread: ThreadTrack, writer: TraceWriter
    ) -> Iterator[Piece]:
        """The packets of one thread."""
        encoder = writer.thread(thread)

        def encode(summaries: dict[int, Summary], interned: dict[int, InternedScopes]) -> Iterator[Piece]:
            for spans in stream.plan.scan(summaries, stream.read, with_parents=False):
                self.progress.made(nb_spans=len(spans))
                scopes = interned[id(spans.scope_table)]
                yield from encoder.encode(spans.begins_ns, spans.ends_ns, spans.depths, spans.scopes, scopes)

        self.progress.begin_thread(turn + 1, thread.name)
        yield from self._counted(self._stream_pieces(turn, stream, thread, writer, encoder, encode))
        self.progress.made(threads=1)

    def _async_pieces(self, turn: int, stream: StreamView[AsyncPlan], writer: TraceWriter) -> Iterator[Piece]:
        """The packets of one async stream."""
        encoder = writer.async_stream(stream.stream.stream_id)

        def encode(summaries: dict[int, Summary], interned: dict[int, InternedScopes]) -> Iterator[Piece]:
            for events in stream.plan.scan(summaries, stream.read):
                begins = events.where(events.is_begin)
                self.progress.made(nb_spans=len(begins))
                yield from encoder.encode(
                    begins.event_ids,
                    begins.other_event_ids,
                    begins.times_ns,
                    begins.other_times_ns,
                    begins.span_ids,
                    begins.parent_span_ids,
                    begins.scopes,
                    interned[id(events.scope_table)],
                )

        self.progress.begin_async()
        yield from self._counted(self._stream_pieces(turn, stream, None, writer, encoder, encode))

    def _counted(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self.progress.made(size_bytes=len(piece))
            yield piece

    def _stream_pieces(
        self,
        turn: int,
        stream: StreamView[Any],
        thread: ThreadTrack | None,
        writer: TraceWriter,
        encoder: ThreadEncoder | AsyncEncoder,
        encode: Callable[[dict[int, Summary], dict[int, InternedScopes]], Iterator[Piece]],
    ) -> Iterator[Piece]:
        """All packets of a stream: what goes before its spans, what `encode` makes of them, and what went wrong."""
        tally = self.query.tally
        try:
            summaries, interned = self._prepare(turn, stream, writer)
            yield from _definitions(interned)
            yield encoder.start()
            view_set = THREAD_SPANS.name if thread else ASYNC_EVENTS.name
            yield from timed(encode(summaries, interned), tally.clock, partial(tally.thread_made, view_set))
        except UdtfError as error:
            yield from encoder.finish()
            yield from self._failure(error, stream, thread, writer)
        else:
            yield from encoder.finish()
            yield from self._losses(stream, summaries, thread, writer)

    def _prepare(
        self, turn: int, stream: StreamView[Any], writer: TraceWriter
    ) -> tuple[dict[int, Summary], dict[int, InternedScopes]]:
        """Bring a stream up to date, then intern its scopes, in the order of the streams.

        Returns:
            the summaries of its runs, and the ids of each run's scope table.
        """
        summaries: dict[int, Summary] = {}
        interned: dict[int, InternedScopes] = {}
        try:
            summaries = stream.finish_update()
        finally:
            with self.turns.take(turn):
                for summary in summaries.values():
                    table: ScopeTable = summary.scope_table
                    interned[id(table)] = writer.intern(table.scopes, table.hashes)
        return summaries, interned

    def _failure(
        self, error: UdtfError, stream: StreamView[Any], thread: ThreadTrack | None, writer: TraceWriter
    ) -> Iterator[bytes]:
        """Says on a thread's track, and to the caller, that it failed; or fails, if the caller is strict."""
        if self.query.context.strict:
            raise error
        self.query.tally.thread_failed(error)
        tell(self.query, "thread_failed", stream, message=str(error))
        yield writer.instant(thread, self._first_time_ns(stream), "thread failed", {"error": str(error)})

    def _losses(
        self, stream: StreamView[Any], summaries: dict[int, Summary], thread: ThreadTrack | None, writer: TraceWriter
    ) -> Iterator[bytes]:
        """Says on a thread's track, and to the caller, where telemetry is missing."""
        for run in tell_losses(self.query, stream, summaries, self.time_range):
            name = f"{run.lost_before} events lost"
            time_ns = min(run.begin_time, self.time_range.end_ns)
            yield writer.instant(thread, time_ns, name, {"lost before event": str(run.begin_offset)})
        if stream.stream.dropped_spans and stream.plan.runs:
            name = f"{stream.stream.dropped_spans} spans dropped"
            when = {"when": "any time since the recording began; there was no room for them"}
            yield writer.instant(thread, self._first_time_ns(stream), name, when)

    def _first_time_ns(self, stream: StreamView[Any]) -> int:
        return min(max(stream.start_time_ns, self.time_range.begin_ns), self.time_range.end_ns)


def _definitions(interned: Mapping[int, InternedScopes]) -> Iterator[bytes]:
    for scopes in interned.values():
        yield from scopes.definitions


def _assemble(pieces: Iterable[Piece], chunk_bytes: int) -> Iterator[bytes]:
    """Pieces put together into chunks of about `chunk_bytes`. Where they are cut depends on the pieces alone, and an
    empty piece is handed on at once."""
    waiting: list[Piece] = []
    size_bytes = 0
    for piece in pieces:
        if not piece:
            yield b""
            continue
        if waiting and size_bytes + len(piece) > chunk_bytes:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
        waiting.append(piece)
        size_bytes += len(piece)
    if waiting:
        yield b"".join(waiting)


def _process_track(process: ProcessRow) -> ProcessTrack:
    return ProcessTrack(
        process_id=process.process_id,
        name=process.exe or process.process_id,
        pid=process.properties.get("pid"),
        start_ns=process.start_time,
        command_line=tuple(filter(None, [process.properties.get("command-line")])),
    )


def _thread_track(stream: StreamRow) -> ThreadTrack:
    return ThreadTrack(
        stream_id=stream.stream_id,
        name=stream.properties.get("thread-name", ""),
        tid=stream.properties.get("thread-id"),
    )
