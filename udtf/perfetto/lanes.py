"""Lanes: spans that overlap, laid out so that the begins and ends on each lane form a stack.

A span goes on top of its parent, if that is the innermost open span of its lane and ends later, and the lane is not
full. Every other span gets a lane where nothing is open, the lowest one: a span is never shown inside a stranger. What
comes before what is decided by the ordinals of the events in their stream, never by their times, which may be equal.
"""

import heapq
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from udtf.lake.matching import OPEN
from udtf.perfetto.kernels import MAX_OPEN
from udtf.perfetto.packets import END_ROW
from udtf.perfetto.pieces import Events

NONE = -1

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True)
class AsyncSpans:
    """Spans of one async stream as columns of equal length.

    `begin_ids` and `end_ids` are the ordinals of their events; `end_ids` and `end_ns` are `OPEN` where there is no end.
    """

    begin_ids: Int64s
    end_ids: Int64s
    begin_ns: Int64s
    end_ns: Int64s
    span_ids: Int64s
    parent_span_ids: Int64s
    iids: Int32s

    def __len__(self) -> int:
        return len(self.begin_ids)

    def slice(self, begin: int, end: int) -> "AsyncSpans":
        """Some of the spans, in place."""
        return AsyncSpans(*(column[begin:end] for column in vars(self).values()))


@dataclass(frozen=True)
class _Begun:
    """Spans that have begun, as columns; while they are laid out, also those that are about to."""

    end_ids: Int64s
    end_ns: Int64s
    span_ids: Int64s
    lanes: Int64s
    """`NONE` before the begin."""
    below: Int64s
    """The span that this one is on top of, as an index into these columns, or `NONE`."""
    heights: Int64s
    """How many spans are below this one on its lane."""

    def __len__(self) -> int:
        return len(self.end_ids)


class Lanes:
    """The lanes of one async stream: how many there are, and what is open on them.

    Memory is that of the open spans and of the spans that are being laid out.
    """

    def __init__(self) -> None:
        nothing = np.empty(0, np.int64)
        self._open = _Begun(nothing, nothing, nothing, nothing, nothing, nothing)
        self._tops = nothing
        """The innermost open span of each lane, an index into `_open`, or `NONE`."""

    @property
    def lane_count(self) -> int:
        return len(self._tops)

    @property
    def open_count(self) -> int:
        return len(self._open)

    def lay_out(self, spans: AsyncSpans) -> Events:
        """The begins of the next spans, in order of their begins, and all ends before the last of them."""
        begun = _joined(self._open, spans)
        ends = _in_order(begun.end_ids, spans.begin_ids[-1])
        tops = np.concatenate((self._tops, np.full(len(spans), NONE)))
        times_ns, rows, lanes, lane_count = _play(
            spans.begin_ids,
            spans.begin_ns,
            spans.iids,
            indices_of(spans.parent_span_ids, begun.span_ids),
            ends,
            begun.end_ids,
            begun.end_ns,
            begun.lanes,
            begun.below,
            begun.heights,
            tops,
            self.lane_count,
        )
        self._keep_open(begun, ends, tops[:lane_count])
        return Events(times_ns, rows, lanes, np.empty(0, np.int64))

    def close(self) -> Events:
        """The ends that are still due."""
        ends = _in_order(self._open.end_ids, OPEN)
        rows = np.full(len(ends), END_ROW, np.int32)
        events = Events(self._open.end_ns[ends], rows, self._open.lanes[ends], np.empty(0, np.int64))
        self._keep_open(self._open, ends, self._tops)
        return events

    def _keep_open(self, begun: _Begun, ended: Int64s, tops: Int64s) -> None:
        """Forgets the spans that ended. What is below an open span is open too, or `NONE`, the last index of all."""
        is_open = np.ones(len(begun), np.bool_)
        is_open[ended] = False
        kept = np.flatnonzero(is_open)
        places = np.full(len(begun) + 1, NONE)
        places[kept] = np.arange(len(kept))
        self._open = _Begun(
            begun.end_ids[kept],
            begun.end_ns[kept],
            begun.span_ids[kept],
            begun.lanes[kept],
            places[begun.below[kept]],
            begun.heights[kept],
        )
        self._tops = places[tops]


def _joined(open_spans: _Begun, spans: AsyncSpans) -> _Begun:
    return _Begun(
        np.concatenate((open_spans.end_ids, spans.end_ids)),
        np.concatenate((open_spans.end_ns, spans.end_ns)),
        np.concatenate((open_spans.span_ids, spans.span_ids)),
        np.concatenate((open_spans.lanes, np.full(len(spans), NONE))),
        np.concatenate((open_spans.below, np.full(len(spans), NONE))),
        np.concatenate((open_spans.heights, np.zeros(len(spans), np.int64))),
    )


def _in_order(end_ids: Int64s, limit: int) -> Int64s:
    """The indices of the ends before `limit`, in order."""
    ends = np.flatnonzero(end_ids < limit)
    return ends[np.argsort(end_ids[ends])]


def indices_of(wanted: Int64s, values: Int64s) -> Int64s:
    """Where each of `wanted` is in `values`, or `NONE`."""
    order = np.argsort(values)
    places = order[np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)]
    return np.where(values[places] == wanted, places, NONE)


_COLUMN = "Array(int64, 1, 'C', readonly=True)"
_IIDS = "Array(int32, 1, 'C', readonly=True)"


@numba.njit(
    f"Tuple((int64[::1], int32[::1], int64[::1], int64))({_COLUMN}, {_COLUMN}, {_IIDS}, {_COLUMN}, {_COLUMN},"
    f" {_COLUMN}, {_COLUMN}, int64[::1], int64[::1], int64[::1], int64[::1], int64)",
    nogil=True,
    cache=True,
)
def _play(  # type: ignore[no-untyped-def]
    begin_ids, begin_ns, iids, parents, ends, end_ids, end_ns, lanes, below, heights, tops, lane_count
):
    """Plays begins and ends in their common order. Fills `lanes`, `below`, `heights` and `tops`.

    Args: four columns of the spans to begin, which are the last of all spans; `ends`, the spans to end; five columns
        of all spans; `tops` with room for as many more lanes as spans begin.

    Returns: times, rows of bodies and lanes of the events, and how many lanes there are then.
    """
    count = len(begin_ids) + len(ends)
    times_ns = np.empty(count, np.int64)
    rows = np.empty(count, np.int32)
    event_lanes = np.empty(count, np.int64)
    free = [lane for lane in range(lane_count) if tops[lane] == NONE]  # ascending, so it is a heap
    begun_before = len(lanes) - len(begin_ids)
    begin = 0
    end = 0
    for event in range(count):
        if begin == len(begin_ids) or (end < len(ends) and end_ids[ends[end]] < begin_ids[begin]):
            span = ends[end]
            end += 1
            lane = lanes[span]
            tops[lane] = below[span]
            if below[span] == NONE:
                heapq.heappush(free, lane)
            times_ns[event] = end_ns[span]
            rows[event] = END_ROW
        else:
            span = begun_before + begin
            parent = parents[begin]
            lane = NONE if parent == NONE else lanes[parent]
            if (
                lane != NONE
                and tops[lane] == parent
                and (end_ids[span] < end_ids[parent] or end_ids[parent] == OPEN)
                and heights[parent] < MAX_OPEN - 1
            ):
                below[span] = parent
                heights[span] = heights[parent] + 1
            elif len(free) > 0:
                lane = heapq.heappop(free)
            else:
                lane = lane_count
                lane_count += 1
            lanes[span] = lane
            tops[lane] = span
            times_ns[event] = begin_ns[begin]
            rows[event] = iids[begin]
            begin += 1
        event_lanes[event] = lane
    return times_ns, rows, event_lanes, lane_count
