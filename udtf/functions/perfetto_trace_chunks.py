"""`perfetto_trace_chunks(process_id, span_types, begin, end)`: a trace of a process, or of several, whose ids a comma
separates, in chunks of whole packets.

The way from rows to bytes: read the rows of the processes -> the first chunk, the tracks of the first one, leaves ->
for each kind of telemetry a view, whose partitions are read or built some at a time -> its tracer encodes them thread
by thread -> pieces are put together into chunks. Another process follows in the same way, with a start of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.progress import TraceProgress
from udtf.functions.table_function import Query, Rows, TableFunction, choose, range_given
from udtf.lake.metadata import StreamRow
from udtf.lake.schemas import WHOLE_TAG
from udtf.lake.time_range import TimeRange
from udtf.lake.view import Telemetry, View
from udtf.observability.metrics import timed
from udtf.perfetto.linked import LinkedSpans
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack
from udtf.perfetto.writer import TraceWriter
from udtf.views.catalog import KINDS, SPAN_TYPES, kinds_in_trace
from udtf.views.kind import Kind, Piece
from udtf.views.links import ids_named
from udtf.views.tracks import process_tracks, thread_track

CHUNKS = pa.schema(
    [pa.field("chunk_id", pa.int32(), nullable=False), pa.field("chunk_data", pa.binary(), nullable=False)]
)

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
        if "process_id" in arguments:
            _ids(arguments["process_id"])
        range_given(arguments)
        return CHUNKS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        process_ids = _ids(arguments["process_id"])
        for process_id in process_ids:
            query.lake.metadata.process(process_id)
        time_range = TimeRange(arguments["begin"], arguments["end"])
        progress = TraceProgress(query.context.on_message, query.tally.clock)
        trace = _Trace(query, process_ids, arguments["span_types"], time_range, progress)
        return Rows(schema, lambda: _numbered(trace.chunks()))


def _ids(text: str) -> list[str]:
    """The ids that commas separate, each once.

    Raises:
        InvalidArgument: one is empty.
    """
    ids = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in ids and "," in text:
        raise InvalidArgument(f"process_id must be an id, or several with a comma between them, given: {text!r}")
    return ids


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
    process_ids: Sequence[str]
    span_types: str
    time_range: TimeRange
    progress: TraceProgress

    def chunks(self) -> Iterator[bytes]:
        """The chunks; an empty one says that there is nothing new yet."""
        begin_s = self.query.tally.clock()
        pieces = self._of_all([self.query.lake.telemetry_of(process_id) for process_id in self.process_ids])
        # The first one has the tracks of the first process: it need not wait for others.
        yield bytes(next(pieces))
        yield from _assemble(pieces, self.query.settings.chunk_bytes)
        self.progress.finish()
        self.query.tally.trace_made(self.query.tally.clock() - begin_s)

    def _of_all(self, processes: Sequence[Telemetry]) -> Iterator[Piece]:
        kinds = kinds_in_trace(self.span_types)
        threads = [
            [thread_track(stream) for kind in kinds for stream in telemetry.of_kind(kind) if _has_track(kind, stream)]
            for telemetry in processes
        ]
        tracks = process_tracks([telemetry.process for telemetry in processes])
        if len(processes) == 1:
            own, of_several, other_tracks = kinds, [], {}
        else:
            # Where a link of one process begins in another, the span that begins then must be there before.
            own = [kind for kind in kinds if not kind.leads_elsewhere]
            of_several = [kind for kind in kinds if kind.leads_elsewhere]
            other_tracks = _tracks_of_streams(zip(processes, tracks, threads, strict=True))
        self.progress.begin(sum(map(len, threads)))
        linked = LinkedSpans()
        for telemetry, track, of_process in zip(processes, tracks, threads, strict=True):
            writer = TraceWriter(track, other_tracks, linked)
            descriptors = writer.descriptors(of_process)
            self.progress.begin_process(len(of_process), len(descriptors))
            yield descriptors
            if telemetry is processes[0]:
                yield from self._find_linked(kinds, processes, linked)
            yield from self._of_kinds(own, telemetry, writer)
        for telemetry, track, of_process in zip(processes, tracks, threads, strict=True):
            if left := [kind for kind in of_several if telemetry.of_kind(kind)]:
                writer = TraceWriter(track, other_tracks, linked)
                start = writer.resume(of_process)
                self.progress.made(size_bytes=len(start))
                yield start
                yield from self._of_kinds(left, telemetry, writer)

    def _find_linked(
        self, kinds: Sequence[Kind], processes: Sequence[Telemetry], linked: LinkedSpans
    ) -> Iterator[Piece]:
        """Which whole spans links name by their ids; what goes wrong is told when the links are shown."""
        ids = []
        for kind in kinds:
            for telemetry in processes if kind.leads_elsewhere else ():
                if any(WHOLE_TAG in stream.tags for stream in telemetry.streams) and telemetry.of_kind(kind):
                    for window in self.query.view(kind, telemetry, self.time_range).windows():
                        yield _NOTHING
                        ids += [ids_named(part) for part in window.parts] if window is not None else []
        linked.want(ids)

    def _of_kinds(self, kinds: Sequence[Kind], telemetry: Telemetry, writer: TraceWriter) -> Iterator[Piece]:
        for kind in kinds:
            yield from self._pieces(self.query.view(kind, telemetry, self.time_range, with_attributes=True), writer)

    def _pieces(self, view: View, writer: TraceWriter) -> Iterator[Piece]:
        """All packets of one kind of telemetry: those of its spans, and what went wrong."""
        tally = self.query.tally
        finished = partial(tally.view_made, view.kind.name, len(view.streams))
        yield from timed(self._encoded(view, writer), tally.clock, finished)
        for failure in tell_failures(self.query, view):
            time_ns = max(failure.time_ns, self.time_range.begin_ns)
            annotations = {"error": str(failure.error)}
            yield self._instant(view, writer, failure.stream, time_ns, "thread failed", annotations)
        for loss in tell_losses(self.query, view):
            name = f"{loss.nb_events} events lost"
            annotations = {"lost before event": str(loss.next_event)}
            yield self._instant(view, writer, loss.stream, loss.time_ns, name, annotations)
        for number, stream in enumerate(view.streams):
            if view.kind.span_type is not None and stream.dropped_spans and view.has_events(number):
                name = f"{stream.dropped_spans} spans dropped"
                annotations = {"when": "any time since the recording began; there was no room for them"}
                yield self._instant(view, writer, number, view.begin_ns(number), name, annotations)

    def _encoded(self, view: View, writer: TraceWriter) -> Iterator[Piece]:
        if view.index is None:
            self.progress.made(threads=self._threads_in(view, view.streams))
            return
        tracer = view.kind.tracer(writer, view.streams, view.index)
        for window in view.windows():
            if window is None:
                yield _NOTHING
                continue
            current, reached = -1, 0
            for stream, nb_spans, piece in tracer.write(window.parts, last=window.last):
                if stream != current:
                    self._begin(view, stream)
                    current = stream
                if window.last and stream > reached:
                    self.progress.made(threads=self._threads_in(view, view.streams[reached:stream]))
                    reached = stream
                self.progress.made(nb_spans=nb_spans, size_bytes=len(piece))
                yield piece
            if window.last:
                self.progress.made(threads=self._threads_in(view, view.streams[reached:]))

    def _begin(self, view: View, stream: int) -> None:
        if view.kind.has_threads:
            self.progress.begin_thread(stream + 1, view.streams[stream].thread_name)
        else:
            kind = view.kind
            self.progress.begin_kind(kind.name if kind.span_type is None else f"{kind.span_type} spans")

    def _threads_in(self, view: View, streams: Sequence[StreamRow]) -> int:
        return sum(_has_track(view.kind, stream) for stream in streams)

    def _instant(
        self, view: View, writer: TraceWriter, stream: int, time_ns: int, name: str, annotations: Mapping[str, str]
    ) -> bytes:
        """A mark in the range, on the track of the thread that a stream is of, or on that of the process."""
        thread = writer.thread(view.streams[stream].thread_stream_id)
        in_range = min(max(time_ns, self.time_range.begin_ns), self.time_range.end_ns)
        mark = writer.instant(thread, in_range, name, annotations)
        self.progress.made(size_bytes=len(mark))
        return mark


def _tracks_of_streams(
    processes: Iterable[tuple[Telemetry, ProcessTrack, Sequence[ThreadTrack]]],
) -> dict[str, int]:
    """The track of each stream: that of its thread, or else that of its process."""
    tracks: dict[str, int] = {}
    for telemetry, process, threads in processes:
        tracks |= {stream.stream_id: process.uuid for kind in KINDS for stream in telemetry.of_kind(kind)}
        tracks |= {thread.stream_id: thread.uuid for thread in threads}
    return tracks


def _has_track(kind: Kind, stream: StreamRow) -> bool:
    """Whether a stream is a thread, with a track of its own."""
    return kind.span_type is not None and stream.is_thread


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
