"""Whole spans into packets: those of a thread that nest on its track, all others on lanes below that of the process.

Spans are played in the order of their begins, with the ends that are due in between; of spans that begin together the
longest is the outermost. A span of a thread goes on the track of the thread if it ends before the innermost span there,
or if there is none. Any other span goes on top of its parent, if that is the innermost span of its lane and ends later,
or else on a lane where nothing is open, the lowest one.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from udtf.errors import CorruptData
from udtf.perfetto.annotations import NO_ANNOTATIONS, Annotations, annotations_of
from udtf.perfetto.async_spans import annotated
from udtf.perfetto.columns import interned_scopes
from udtf.perfetto.kernels import MAX_OPEN
from udtf.perfetto.lanes import NONE, indices_of
from udtf.perfetto.packets import END_ROW
from udtf.perfetto.pieces import Events, check_columns, track_fields, write_events
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import ThreadTrack, child_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece
    from udtf.views.whole_spans import WholeRows

Int64s = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 8192
"""Spans that are laid out together, or as many as are open: each open span is carried on no more than it has to."""


@dataclass(frozen=True)
class _Begun:
    """Spans that have begun and not ended, in the order of their begins, as columns."""

    ids: Int64s
    ends_ns: Int64s
    tracks: Int64s
    """The thread or lane that each is on."""
    below: Int64s
    """The span that each is on top of, as an index into these columns, or `NONE`."""
    heights: Int64s
    """How many spans are below each."""

    def __len__(self) -> int:
        return len(self.ids)


class WholeTracer:
    """Writes the whole spans of a process, part after part of them.

    Args:
        threads: of each stream the thread that it is of, or None.
        run_streams: of each run of events, which of the streams it is of.
    """

    def __init__(
        self, writer: TraceWriter, threads: Sequence[ThreadTrack | None], run_streams: npt.NDArray[np.int32]
    ) -> None:
        self._writer = writer
        self._run_streams = run_streams
        of_threads = [thread for thread in threads if thread is not None]
        self._thread_of_stream = np.full(len(threads), NONE)
        self._thread_of_stream[[thread is not None for thread in threads]] = np.arange(len(of_threads))
        self._nb_threads = len(of_threads)
        self._uuids = np.array([thread.uuid for thread in of_threads], np.uint64)
        self._tracks = track_fields([thread.uuid for thread in of_threads])
        nothing = np.empty(0, np.int64)
        self._open = _Begun(nothing, nothing, nothing, nothing, nothing)
        self._tops = np.full(self._nb_threads, NONE)
        self._last_ns = 0

    def write(self, parts: "Sequence[Part[WholeRows]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`; later parts begin no earlier than these."""
        columns: list[tuple[npt.NDArray[Any], ...]] = []
        for part in parts:
            rows = part.columns
            interned = interned_scopes(self._writer, part, rows.scopes)
            yield from ((0, 0, piece) for piece in interned.definitions)
            threads = self._thread_of_stream[self._run_streams[part.row_runs()]]
            columns.append((rows.begins_ns, rows.ends_ns, rows.ids, rows.parents, threads, interned.iids))
        if not columns and not (last and len(self._open)):
            return
        keys, annotations = annotations_of(
            self._writer, [(part.columns.attributes, len(part.columns)) for part in parts]
        )
        yield from ((0, 0, piece) for piece in keys)
        self._last_ns = 0
        yield 0, sum(len(begins_ns) for begins_ns, *_ in columns), events_start(None)
        if columns:
            joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
            order = np.lexsort((-joined[1], joined[0]))
            annotations = annotations.with_sources(
                annotations.sources[order] if len(annotations.sources) else order[:0]
            )
            pieces = self._encode(*(column[order] for column in joined), annotations=annotations)
            yield from ((0, 0, piece) for piece in pieces)
        if last:
            nothing = np.empty(0, np.int64)
            events, _ = self._lay_out(nothing, nothing, nothing, nothing, nothing, np.empty(0, np.int32), last=True)
            yield from ((0, 0, piece) for piece in self._write(events, NO_ANNOTATIONS))

    def _encode(
        self,
        begins_ns: Int64s,
        ends_ns: Int64s,
        ids: Int64s,
        parents: Int64s,
        threads: Int64s,
        iids: npt.NDArray[np.int32],
        *,
        annotations: Annotations,
    ) -> "Iterator[Piece]":
        check_columns((begins_ns, ends_ns, ids, parents, threads, iids), iids, self._writer.bodies)
        if np.any(ends_ns < begins_ns):
            raise CorruptData("a span ends before it begins")
        row = 0
        while row < len(ids):
            rows = slice(row, row + max(_ROWS_AT_ONCE, len(self._open)))
            events, tracks = self._lay_out(
                begins_ns[rows], ends_ns[rows], ids[rows], parents[rows], threads[rows], iids[rows], last=False
            )
            yield from self._new_lanes()
            self._writer.linked.found(ids[rows], begins_ns[rows], ends_ns[rows], self._uuids[tracks])
            yield from self._write(annotated(events, annotations.sources[rows]), annotations)
            row = rows.stop

    def _write(self, events: Events, annotations: Annotations) -> Iterator[memoryview]:
        yield from write_events(events, self._last_ns, self._writer.bodies, self._tracks, annotations)
        if len(events.times_ns):
            self._last_ns = int(events.times_ns[-1])

    def _new_lanes(self) -> Iterator[bytes]:
        """Descriptors of the lanes that are used for the first time."""
        process = self._writer.process
        numbers = range(len(self._tracks) - self._nb_threads + 1, len(self._tops) - self._nb_threads + 1)
        uuids = [track_uuid("whole lane", process.process_id, str(number)) for number in numbers]
        for number, uuid in zip(numbers, uuids, strict=True):
            yield child_descriptor(process.uuid, uuid, f"async {number}")
        self._uuids = np.concatenate((self._uuids, np.array(uuids, np.uint64)))
        self._tracks = np.concatenate((self._tracks, track_fields(uuids)))

    def _lay_out(
        self,
        begins_ns: Int64s,
        ends_ns: Int64s,
        ids: Int64s,
        parents: Int64s,
        threads: Int64s,
        iids: npt.NDArray[np.int32],
        *,
        last: bool,
    ) -> tuple[Events, Int64s]:
        """The begins of the next spans, in order of their begins, and all ends before the last of them, or all; and the
        track of each of these spans."""
        nothing = np.full(len(ids), NONE)
        all_ids = np.concatenate((self._open.ids, ids))
        begun = _Begun(
            all_ids,
            np.concatenate((self._open.ends_ns, ends_ns)),
            np.concatenate((self._open.tracks, nothing)),
            np.concatenate((self._open.below, nothing)),
            np.concatenate((self._open.heights, nothing)),
        )
        tops = np.concatenate((self._tops, nothing))
        times_ns, rows, tracks, nb_tracks, is_open = _play(
            begins_ns,
            iids,
            threads,
            indices_of(parents, all_ids),
            begun.ends_ns,
            begun.tracks,
            begun.below,
            begun.heights,
            tops,
            len(self._tops),
            self._nb_threads,
            last,
        )
        kept = np.flatnonzero(is_open)
        places = np.full(len(begun) + 1, NONE)  # of `NONE`, the last index of all, as well
        places[kept] = np.arange(len(kept))
        self._open = _Begun(
            begun.ids[kept], begun.ends_ns[kept], begun.tracks[kept], places[begun.below[kept]], begun.heights[kept]
        )
        self._tops = places[tops[:nb_tracks]]
        return Events(times_ns, rows, tracks, np.empty(0, np.int64)), begun.tracks[len(begun) - len(ids) :]


_COLUMN = "Array(int64, 1, 'C', readonly=True)"
_IIDS = "Array(int32, 1, 'C', readonly=True)"


@numba.njit(
    f"Tuple((int64[::1], int32[::1], int64[::1], int64, boolean[::1]))({_COLUMN}, {_IIDS}, {_COLUMN}, {_COLUMN}, "
    f"{_COLUMN}, int64[::1], int64[::1], int64[::1], int64[::1], int64, int64, boolean)",
    nogil=True,
    cache=True,
)
def _play(  # type: ignore[no-untyped-def]
    begins_ns, iids, threads, parents, ends_ns, tracks, below, heights, tops, nb_tracks, nb_threads, last
):
    """Plays begins and ends in the order of their times. Fills `tracks`, `below`, `heights` and `tops`.

    Args: of the spans to begin, which are the last of all spans, begins, scopes, threads, and parents as indexes into
        all spans; four columns of all spans; `tops` with room for as many more tracks as spans begin; how many tracks
        there are, of which the first are threads; whether all spans are to end.

    Returns: times, rows of bodies and tracks of the events, how many tracks there are then, and which spans are open.
    """
    room = len(begins_ns) + len(ends_ns)
    times_ns = np.empty(room, np.int64)
    rows = np.empty(room, np.int32)
    event_tracks = np.empty(room, np.int64)
    is_open = np.zeros(len(ends_ns), np.bool_)
    begun_before = len(ends_ns) - len(begins_ns)
    free = [track for track in range(nb_threads, nb_tracks) if tops[track] == NONE]  # ascending, so it is a heap
    # The end of each open span; of those that are due together, the one that began last is the innermost.
    due = [(ends_ns[span], -span) for span in range(begun_before)]
    heapq.heapify(due)
    is_open[:begun_before] = True
    event = 0
    for begin in range(len(begins_ns) + 1):
        is_end = begin == len(begins_ns)
        if is_end and not last:
            break
        while len(due) > 0 and (is_end or due[0][0] <= begins_ns[begin]):
            time_ns, number = heapq.heappop(due)
            span = -number
            track = tracks[span]
            tops[track] = below[span]
            is_open[span] = False
            if below[span] == NONE and track >= nb_threads:
                heapq.heappush(free, track)
            times_ns[event] = time_ns
            rows[event] = END_ROW
            event_tracks[event] = track
            event += 1
        if is_end:
            break
        span = begun_before + begin
        track = threads[begin]
        outer = NONE
        if track != NONE:
            outer = tops[track]
            if outer != NONE and (ends_ns[span] > ends_ns[outer] or heights[outer] >= MAX_OPEN - 1):
                track = NONE
        if track == NONE:
            outer = parents[begin]
            if (
                outer != NONE
                and outer < span
                and is_open[outer]
                and tracks[outer] >= nb_threads
                and tops[tracks[outer]] == outer
                and ends_ns[span] <= ends_ns[outer]
                and heights[outer] < MAX_OPEN - 1
            ):
                track = tracks[outer]
            else:
                outer = NONE
                if len(free) > 0:
                    track = heapq.heappop(free)
                else:
                    track = nb_tracks
                    nb_tracks += 1
        tracks[span] = track
        below[span] = outer
        heights[span] = 0 if outer == NONE else heights[outer] + 1
        tops[track] = span
        is_open[span] = True
        heapq.heappush(due, (ends_ns[span], -span))
        times_ns[event] = begins_ns[begin]
        rows[event] = iids[begin]
        event_tracks[event] = track
        event += 1
    return times_ns[:event], rows[:event], event_tracks[:event], nb_tracks, is_open
