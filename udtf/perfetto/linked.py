"""Where a trace shows the whole spans that links name by their ids alone: neither thread nor time of them is told.

Which ids there are is known before any span is written; where the spans are, once all are written.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


class LinkedSpans:
    """Spans that are wanted, by id, as columns: whether each has been found, its times and the uuid of its track."""

    def __init__(self) -> None:
        self.want([])

    def want(self, ids: Sequence[Int64s]) -> None:
        """These spans are wanted, and no others."""
        self._ids = np.unique(np.concatenate([np.empty(0, np.int64), *ids]))
        count = len(self._ids)
        self.are_found = np.zeros(count, np.bool_)
        self.begins_ns, self.ends_ns = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.tracks: UInt64s = np.zeros(count, np.uint64)
        self._nb_marks = np.zeros(count, np.int64)

    def found(self, ids: Int64s, begins_ns: Int64s, ends_ns: Int64s, tracks: UInt64s) -> None:
        """Some spans are written; those that are not wanted are passed over."""
        if not len(self._ids):
            return
        rows = np.flatnonzero(np.isin(ids, self._ids))
        places = self.places_of(ids[rows])
        self.are_found[places] = True
        self.begins_ns[places], self.ends_ns[places] = begins_ns[rows], ends_ns[rows]
        self.tracks[places] = tracks[rows]

    def mark(self, places: Int64s, not_before_ns: Int64s) -> Int64s:
        """Times for marks on spans, at their begins, or at another time if that is later. Marks of one time would be
        shown inside of each other, so each is a nanosecond after the one before, as long as its span goes on."""
        order = np.argsort(places, kind="stable")
        of_span = places[order]
        numbers = np.empty(len(places), np.int64)
        numbers[order] = np.arange(len(places)) - np.searchsorted(of_span, of_span) + self._nb_marks[of_span]
        np.add.at(self._nb_marks, places, 1)
        first_ns = np.maximum(self.begins_ns[places], not_before_ns)
        times_ns: Int64s = np.maximum(np.minimum(first_ns + numbers, self.ends_ns[places]), not_before_ns)
        return times_ns

    def places_of(self, ids: Int64s) -> Int64s:
        """Where spans, all of which are wanted, are in the columns."""
        return np.searchsorted(self._ids, ids)
