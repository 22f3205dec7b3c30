"""The spans of one thread into packets on its track, and on tracks below that where too many are open."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from udtf.errors import CorruptData
from udtf.lake.matching import OPEN
from udtf.perfetto.annotations import NO_ANNOTATIONS
from udtf.perfetto.interning import Bodies
from udtf.perfetto.kernels import DONE, MAX_OPEN, NEEDS_BUFFER, NEEDS_TRACK, NO_SCOPE, encode_spans
from udtf.perfetto.packets import END_ROW
from udtf.perfetto.pieces import Events, new_piece, track_fields, write_events
from udtf.perfetto.sequence import events_start
from udtf.perfetto.span_table import SpanTable, count_rows
from udtf.perfetto.tracks import ThreadTrack, child_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece
    from udtf.views.spans import Spans


class ThreadTracer:
    """Writes the spans of the threads of a process, part after part of them.

    Args:
        threads: in the order in which they are in the trace.
        run_threads: of each run of events, which of the threads it is of.
    """

    def __init__(self, writer: TraceWriter, threads: Sequence[ThreadTrack], run_threads: npt.NDArray[np.int32]) -> None:
        self._writer = writer
        self._threads = threads
        self._run_threads = run_threads
        self._encoders: dict[int, ThreadEncoder] = {}

    def write(self, parts: "Sequence[Part[Spans]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`."""
        definitions, table = SpanTable.of(self._writer, parts, self._run_threads, len(self._threads))
        for piece in definitions:
            yield 0, 0, piece
        for thread in np.flatnonzero(np.diff(table.bounds)).tolist():
            encoder = self._encoders.get(thread)
            if encoder is None:
                encoder = ThreadEncoder(self._threads[thread], self._writer.bodies)
                self._encoders[thread] = encoder
            sections = table.of_stream(thread)
            yield thread, count_rows(sections), encoder.start()
            yield from ((thread, 0, piece) for piece in encoder.encode(table, sections))
            if last:
                yield from ((thread, 0, piece) for piece in self._encoders.pop(thread).finish())
        if last:
            for thread, encoder in sorted(self._encoders.items()):
                if encoder.is_due:
                    yield thread, 0, encoder.start()
                    yield from ((thread, 0, piece) for piece in encoder.finish())


class ThreadEncoder:
    """Turns one thread's spans, batch after batch, into pieces of whole packets.

    Nesting follows depth. A span that begins after events were lost, at a depth where spans are still open that have
    no end, leaves those unfinished; the trace shows it below them.

    The first `MAX_OPEN` spans that are open at once are on the thread's track, the next as many on a track below it,
    and so on.
    """

    def __init__(self, thread: ThreadTrack, bodies: Bodies) -> None:
        self._thread = thread
        self._bodies = bodies
        self._last_ns = 0
        self._deeper_tracks = track_fields([])
        self._stack_depths = np.empty(MAX_OPEN, np.int64)
        self._stack_ends = np.empty(MAX_OPEN, np.int64)
        self._stack_size = 0

    def start(self) -> bytes:
        """The packet that goes before events of the thread which do not follow others of it, after the track's
        descriptor."""
        self._last_ns = 0
        return events_start(self._thread.uuid)

    @property
    def is_due(self) -> bool:
        """Whether ends are to come."""
        return bool(np.any(self._stack_ends[: self._stack_size] != OPEN))

    def encode(self, table: SpanTable, sections: npt.NDArray[np.int64]) -> Iterator[bytes | memoryview]:
        """The next spans, those of some sections of a table, and the ends that fall before the last of them.

        To be exhausted before the next call. Pieces of events hold at most `pieces.PIECE_BYTES`.

        Raises:
            CorruptData: a span has a scope that its partition does not have.
        """
        section, row = 0, int(sections[0, 1]) if len(sections) else 0
        attribute_bytes = table.attribute_bytes(sections)
        nb_events = 2 * count_rows(sections)
        stop = NEEDS_BUFFER
        while stop != DONE:
            piece = new_piece(nb_events + self._stack_size, attribute_bytes)
            section, row, size, self._last_ns, self._stack_size, stop = encode_spans(
                table.addresses,
                table.scope_offsets,
                table.iids,
                table.first_sources,
                sections,
                section,
                row,
                self._stack_depths,
                self._stack_ends,
                self._stack_size,
                self._last_ns,
                self._bodies.words,
                self._bodies.lengths,
                self._deeper_tracks,
                *table.annotations.columns,
                piece,
            )
            if size:
                yield piece[:size].data
            if stop == NEEDS_TRACK:
                yield self._add_track()
            elif stop == NO_SCOPE:
                raise CorruptData("a partition has spans of a scope that it does not have")

    def finish(self) -> Iterator[memoryview]:
        """The ends that are still due, the deepest first."""
        places = np.flatnonzero(self._stack_ends[: self._stack_size] != OPEN)[::-1]
        rows = np.full(len(places), END_ROW, np.int32)
        events = Events(self._stack_ends[places], rows, places // MAX_OPEN - 1, np.empty(0, np.int64))
        yield from write_events(events, self._last_ns, self._bodies, self._deeper_tracks, NO_ANNOTATIONS)

    def _add_track(self) -> bytes:
        """The descriptor of one more track, for whose spans the stack then has room."""
        depth = MAX_OPEN * (len(self._deeper_tracks) + 1)
        uuid = track_uuid("deeper", self._thread.stream_id, str(depth))
        self._deeper_tracks = np.concatenate((self._deeper_tracks, track_fields([uuid])))
        if depth == len(self._stack_ends):
            self._stack_depths = np.resize(self._stack_depths, 2 * depth)
            self._stack_ends = np.resize(self._stack_ends, 2 * depth)
        return child_descriptor(self._thread.uuid, uuid, f"deeper than {depth}")
