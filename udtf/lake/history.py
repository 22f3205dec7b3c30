"""The history of a process: its segments in the order in which they were stored, and what is known of many at once.

Segments are the leaves of a tree in which every node has `FAN_OUT` children: a *stretch* of `FAN_OUT ** level`
consecutive segments, from a multiple of that number on. Each stretch has one index (`index.py`) that says what its
events leave open and close. It never changes, and its row is stored together with the last segment of the stretch.

To answer for a time range, one walks down from the largest stretches: one that lies outside of the range is known by
its index, one that touches it is looked into, until it is small enough to be one partition. So what is read grows with
the range, and with the logarithm of the history.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from udtf.errors import CorruptData
from udtf.lake.cache import ByteBoundedCache
from udtf.lake.index import Index
from udtf.lake.metadata import HistoryRow, MetadataStore, SegmentRow, StretchRow
from udtf.lake.sealed import split_parts, unseal
from udtf.lake.time_range import TimeRange

FAN_OUT = 8
"""Children of a stretch. More make partitions whose size varies more; fewer make more rows and more steps."""

MAX_PARTITION_EVENTS = 1 << 17
"""A stretch of more events than that makes several partitions, unless it is a single segment."""

MAX_PARTITION_SEGMENTS = 64
"""A stretch of more segments makes several partitions, however few events they have: each segment is a request."""


class StretchKey(NamedTuple):
    """Which segments of its process a stretch has."""

    nb_segments: int
    first_segment: int

    @property
    def end_segment(self) -> int:
        return self.first_segment + self.nb_segments

    @property
    def parent(self) -> "StretchKey":
        size = self.nb_segments * FAN_OUT
        return StretchKey(size, self.first_segment // size * size)

    def children(self) -> list["StretchKey"]:
        size = self.nb_segments // FAN_OUT
        return [StretchKey(size, first) for first in range(self.first_segment, self.end_segment, size)]


_CacheKey = tuple[str, int, StretchKey]
"""Process, insert time of its history, stretch."""


def largest_stretches(nb_segments: int, begin: int = 0) -> list[StretchKey]:
    """The fewest stretches that are the segments from `begin`, where a stretch of every size begins, on."""
    size = 1
    while size * FAN_OUT <= nb_segments:
        size *= FAN_OUT
    stretches = []
    first = begin
    while size:
        while first + size <= begin + nb_segments:
            stretches.append(StretchKey(size, first))
            first += size
        size //= FAN_OUT
    return stretches


def completed_by(segment: int) -> Iterator[StretchKey]:
    """The stretches of several segments whose last one has this number, the smallest first."""
    size = FAN_OUT
    while (segment + 1) % size == 0:
        yield StretchKey(size, segment + 1 - size)
        size *= FAN_OUT


@dataclass(frozen=True)
class Stretch:
    """A stretch as it is known without its events. `content_hash` is that of all that it was made from."""

    process_id: str
    key: StretchKey
    begin_time: int
    end_time: int
    nb_events: int
    content_hash: str
    index: bytes

    @classmethod
    def of(cls, row: SegmentRow | StretchRow, indexes: Mapping[str, Index] | None = None) -> "Stretch":
        """The stretch of a row; `indexes` are what its index decodes to, where that is known."""
        key = StretchKey(row.nb_segments, row.first_segment)
        stretch = cls(
            row.process_id, key, row.begin_time, row.end_time, row.nb_events, row.content_hash, bytes(row.index)
        )
        stretch._indexes.update(indexes or {})
        return stretch

    @cached_property
    def _parts(self) -> dict[str, memoryview]:
        what = f"the index of segments {self.key.first_segment} to {self.key.end_segment - 1}"
        return split_parts(unseal(self.index, what))

    @cached_property
    def _indexes(self) -> dict[str, Index]:
        return {}

    @property
    def kinds(self) -> Iterable[str]:
        """Names of the kinds of telemetry that it has."""
        return self._parts.keys()

    def index_of(self, kind: str) -> Index | None:
        """What it knows of a kind of telemetry; None if it has none.

        Raises:
            CorruptData: the index is damaged.
        """
        if kind not in self._parts:
            return None
        if kind not in self._indexes:
            self._indexes[kind] = Index.decode(self._parts[kind])
        return self._indexes[kind]

    def overlaps(self, time_range: TimeRange) -> bool:
        return self.begin_time <= time_range.end_ns and self.end_time >= time_range.begin_ns

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about, when it is decoded."""
        return 4 * len(self.index) + 4000


@dataclass(frozen=True)
class Cover:
    """All of a history, for one time range.

    `units` touch the range and are one partition each; `others` are known by their indexes. `removed` says whether the
    range touches segments that have been removed.
    """

    units: list[Stretch]
    others: list[Stretch]
    removed: bool


class Histories:
    """Reads stretches, which never change, and keeps those that were read last. Safe to use from many threads."""

    def __init__(self, metadata: MetadataStore, max_bytes: int) -> None:
        self._metadata = metadata
        self._cache: ByteBoundedCache[_CacheKey, Stretch] = ByteBoundedCache(
            max_bytes, max_bytes, lambda stretch: stretch.size_bytes
        )
        self.statistics = self._cache.statistics

    def of(self, history: HistoryRow, keys: Sequence[StretchKey]) -> list[Stretch]:
        """Stretches of a process, in the order of the keys.

        Raises:
            CorruptData: one is missing, though it has not been removed.
        """

        def load(missing: list[_CacheKey]) -> dict[_CacheKey, Stretch]:
            rows = self._metadata.stretches(history.process_id, [key for *_, key in missing])
            return {(*of_history, stretch.key): stretch for stretch in map(Stretch.of, rows)}

        of_history = history.process_id, history.insert_time
        found = self._cache.get_all([(*of_history, key) for key in keys], load)
        lost = [key for key in keys if (*of_history, key) not in found]
        if lost:
            self._metadata.check_history(history)
            raise CorruptData(f"the metadata has no segments {lost[0].first_segment} to {lost[0].end_segment - 1}")
        return [found[*of_history, key] for key in keys]

    def nb_touching(self, history: HistoryRow, time_range: TimeRange) -> int:
        """How many segments touch a range. It grows when one comes late, and never shrinks."""

        def is_known(stretch: Stretch) -> bool:
            is_within = stretch.begin_time >= time_range.begin_ns and stretch.end_time <= time_range.end_ns
            return not stretch.overlaps(time_range) or is_within or _is_removed(stretch, history)

        stretches = self._down_to(history, is_known)
        return sum(stretch.key.nb_segments for stretch in stretches if stretch.overlaps(time_range))

    def cover(self, history: HistoryRow, time_range: TimeRange) -> Cover:
        """What there is for a time range."""

        def is_other(stretch: Stretch) -> bool:
            return _is_removed(stretch, history) or not stretch.overlaps(time_range)

        def is_known(stretch: Stretch) -> bool:
            return is_other(stretch) or (
                stretch.nb_events <= MAX_PARTITION_EVENTS
                and stretch.key.nb_segments <= MAX_PARTITION_SEGMENTS
                and stretch.key.first_segment >= history.first_segment
            )

        units: list[Stretch] = []
        others: list[Stretch] = []
        for stretch in self._down_to(history, is_known):
            (others if is_other(stretch) else units).append(stretch)
        removed = any(_is_removed(stretch, history) and stretch.overlaps(time_range) for stretch in others)
        in_time = sorted(units, key=lambda unit: (unit.begin_time, unit.key.first_segment))
        return Cover(in_time, sorted(others, key=lambda stretch: stretch.key.first_segment), removed)

    def _down_to(self, history: HistoryRow, is_known: Callable[[Stretch], bool]) -> Iterator[Stretch]:
        """All of a history, as the largest stretches that need not be looked into, or are one segment."""
        pending = largest_stretches(history.nb_segments)
        while pending:
            stretches = self.of(history, pending)
            pending = []
            for stretch in stretches:
                if stretch.key.nb_segments == 1 or is_known(stretch):
                    yield stretch
                else:
                    pending += stretch.key.children()


def _is_removed(stretch: Stretch, history: HistoryRow) -> bool:
    return stretch.key.end_segment <= history.first_segment
