"""The spans of one thread into packets on its track, and on tracks below that where too many are open."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from udtf.lake.matching import OPEN
from udtf.perfetto.annotations import NO_ANNOTATIONS, Annotations
from udtf.perfetto.columns import interned_columns
from udtf.perfetto.interning import Bodies
from udtf.perfetto.kernels import END_ROW, MAX_OPEN, encode_spans
from udtf.perfetto.pieces import Events, check_columns, new_piece, track_fields, write_events
from udtf.perfetto.sequence import events_start
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
        definitions, columns, bounds, annotations = interned_columns(
            self._writer,
            parts,
            lambda spans: (spans.begins_ns, spans.ends_ns, spans.depths),
            lambda spans: spans.scopes,
            self._run_threads,
            len(self._threads),
        )
        for piece in definitions:
            yield 0, 0, piece
        counts = np.diff(bounds)
        for thread in np.flatnonzero(counts).tolist():
            encoder = self._encoders.get(thread)
            if encoder is None:
                encoder = ThreadEncoder(self._threads[thread], self._writer.bodies)
                self._encoders[thread] = encoder
            yield thread, int(counts[thread]), encoder.start()
            rows = slice(bounds[thread], bounds[thread + 1])
            pieces = encoder.encode(*(column[rows] for column in columns), annotations=annotations.of_rows(rows))
            yield from ((thread, 0, piece) for piece in pieces)
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

    def encode(
        self,
        begin_ns: npt.NDArray[np.int64],
        end_ns: npt.NDArray[np.int64],
        depths: npt.NDArray[np.int32],
        iids: npt.NDArray[np.int32],
        *,
        annotations: Annotations = NO_ANNOTATIONS,
    ) -> Iterator[bytes | memoryview]:
        """The next spans, in order of their begins, and the ends that fall before the last of them.

        To be exhausted before the next call. Pieces of events hold at most `pieces.PIECE_BYTES`.

        Args: columns of equal length: begin; end, `OPEN` where there is none; depth; interned id of the scope;
            and the attributes of these spans.
        """
        columns = (
            np.ascontiguousarray(begin_ns, np.int64),
            np.ascontiguousarray(end_ns, np.int64),
            np.ascontiguousarray(depths, np.int32),
            np.ascontiguousarray(iids, np.int32),
        )
        check_columns(columns, iids, self._bodies)
        row = 0
        attribute_bytes = annotations.count_bytes()
        while row < len(begin_ns):
            piece = new_piece(2 * (len(begin_ns) - row) + self._stack_size, attribute_bytes)
            row, size, self._last_ns, self._stack_size, needs_track = encode_spans(
                *columns,
                row,
                self._stack_depths,
                self._stack_ends,
                self._stack_size,
                self._last_ns,
                self._bodies.words,
                self._bodies.lengths,
                self._deeper_tracks,
                annotations.sources,
                *annotations.columns,
                piece,
            )
            if size:
                yield piece[:size].data
            if needs_track:
                yield self._add_track()

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
