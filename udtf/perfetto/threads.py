"""The spans of one thread into packets on its track."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from udtf.perfetto.interning import Bodies, InternedScopes
from udtf.perfetto.kernels import END_ROW, OPEN, encode_spans
from udtf.perfetto.pieces import DEFAULT_TRACK, Events, check_columns, new_piece, write_events
from udtf.perfetto.sequence import events_start

_FIRST_STACK = 64
_END_BODIES = Bodies.of_ends(track_bytes=0)


class ThreadEncoder:
    """Turns one thread's spans, batch after batch, into pieces of whole packets.

    Nesting follows depth. A span that begins after events were lost, at a depth where spans are still open that have
    no end, leaves those unfinished; the trace shows it below them.
    """

    def __init__(self, track_uuid: int) -> None:
        self._track_uuid = track_uuid
        self._last_ns = 0
        self._stack_depths = np.empty(_FIRST_STACK, np.uint32)
        self._stack_ends = np.empty(_FIRST_STACK, np.int64)
        self._stack_size = 0

    def start(self) -> bytes:
        """The packet that goes before all events of the thread, after the track's descriptor."""
        return events_start(self._track_uuid)

    def encode(
        self,
        begin_ns: npt.NDArray[np.int64],
        end_ns: npt.NDArray[np.int64],
        depths: npt.NDArray[np.uint32],
        codes: npt.NDArray[np.int32],
        scopes: InternedScopes,
    ) -> Iterator[memoryview]:
        """The next spans, in order of their begins, and the ends that fall before the last of them.

        To be exhausted before the next call. Pieces hold at most `pieces.PIECE_BYTES`.

        Args: columns of equal length: begin; end, `OPEN` where there is none; depth; code of the scope.
        """
        columns = (
            np.ascontiguousarray(begin_ns, np.int64),
            np.ascontiguousarray(end_ns, np.int64),
            np.ascontiguousarray(depths, np.uint32),
            np.ascontiguousarray(codes, np.int32),
        )
        check_columns(columns, codes, scopes)
        if len(depths):
            self._make_room(min(self._stack_size + len(depths), int(depths.max()) + 1))
        row = 0
        while row < len(begin_ns):
            piece = new_piece(2 * (len(begin_ns) - row) + self._stack_size)
            row, size, self._last_ns, self._stack_size = encode_spans(
                *columns,
                row,
                self._stack_depths,
                self._stack_ends,
                self._stack_size,
                self._last_ns,
                scopes.bodies.words,
                scopes.bodies.lengths,
                piece,
            )
            yield piece[:size].data

    def finish(self) -> Iterator[memoryview]:
        """The ends that are still due, the deepest first."""
        times_ns = self._stack_ends[: self._stack_size][::-1]
        times_ns = times_ns[times_ns != OPEN]
        rows = np.full(len(times_ns), END_ROW, np.int32)
        lanes = np.zeros(len(times_ns), np.int64)
        self._stack_size = 0
        yield from write_events(Events(times_ns, rows, lanes), self._last_ns, _END_BODIES, DEFAULT_TRACK)

    def _make_room(self, stack_size: int) -> None:
        """The stack never holds two spans of one depth, so it is no larger than the greatest depth and one."""
        if stack_size > len(self._stack_ends):
            size = 2 * stack_size
            self._stack_depths = np.resize(self._stack_depths, size)
            self._stack_ends = np.resize(self._stack_ends, size)
