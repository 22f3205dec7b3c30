"""One kind of telemetry of a process, for a time range: what is known of it, and its rows.

What the range touches is read, as partitions; what lies outside of it is known by its indexes. Both are laid out as one
list of runs, so that the reader of the kind sees which events belong together (`Reader`). Rows come in *windows*, some
partitions at a time, so that memory does not grow with the range; no window has rows that belong before those of an
earlier one in their stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import CorruptData, StoreRefused, StoreUnavailable, UdtfError
from udtf.execution.ahead import Item, Result, work_ahead
from udtf.execution.cancellation import MAX_POLL_SECONDS, Cancellation
from udtf.lake.builds import Built, source_hash
from udtf.lake.history import Cover, Histories, Stretch, StretchKey
from udtf.lake.index import Index, Runs, lay_out
from udtf.lake.jit import JitUpdater
from udtf.lake.metadata import HistoryRow, MetadataStore, PartitionRow, ProcessRow, StreamRow
from udtf.lake.partition_store import PartitionStore
from udtf.lake.schemas import ATTRIBUTES
from udtf.lake.time_range import TimeRange
from udtf.observability.metrics import QueryTally
from udtf.views.kind import Kind, Part, Reader

Int64s = npt.NDArray[np.int64]

WINDOW_EVENTS = 1 << 20
"""Events of the partitions of a window, about: they are in memory at once."""


@dataclass(frozen=True)
class Loss:
    """Events of a stream that no block holds, known by the event after them."""

    stream: int
    nb_events: int
    time_ns: int
    next_event: int


@dataclass(frozen=True)
class Failure:
    """Telemetry of a stream that could not be read, from a time on."""

    stream: int
    time_ns: int
    error: UdtfError


@dataclass(frozen=True)
class Window:
    """Some partitions of a view, rows of the time range only; `last` if there are no more."""

    parts: list[Part[Any]]
    last: bool


@dataclass(frozen=True)
class Telemetry:
    """What is known of a process without its events. `streams` are in the order in which they came."""

    process: ProcessRow
    history: HistoryRow
    streams: list[StreamRow]

    def of_kind(self, kind: Kind) -> list[StreamRow]:
        return [stream for stream in self.streams if kind.tag in stream.tags]


@dataclass(frozen=True)
class Sources:
    """What a view is read with."""

    metadata: MetadataStore
    histories: Histories
    partitions: PartitionStore
    jit: JitUpdater
    reads: ThreadPoolExecutor
    max_reads: int


@dataclass(frozen=True)
class _Layout:
    """The runs of some stretches as one index, and where the runs of each stretch are in it: `places` has -1 for those
    of streams that are not wanted, and those of stretch s are `offsets[s]` to before `offsets[s + 1]`."""

    stretches: Sequence[Stretch]
    index: Index
    places: Int64s
    offsets: Int64s

    @classmethod
    def of(cls, kind: Kind, stretches: Sequence[Stretch], stream_ids: pa.StringArray) -> "_Layout":
        indexes = [index for stretch in stretches if (index := stretch.index_of(kind.name)) is not None]
        index, order = lay_out(indexes, stream_ids)
        counts = [len(part.runs) for part in indexes]
        places = np.full(sum(counts), -1)
        places[order] = np.arange(len(order))
        return cls(stretches, index, places, np.cumsum([0, *counts]))

    def runs_of(self, stretch: int) -> Int64s:
        """Where the runs of a stretch are, in its own order."""
        return self.places[self.offsets[stretch] : self.offsets[stretch + 1]]


@dataclass
class View:
    """Nothing is built or read before `windows`; it is for one reader.

    Attributes:
        streams: those of the view, in their order.
        stream_ids, thread_names: of these streams.
        index: all runs of these streams, as they are known.
        with_attributes: whether the attributes of events are read as well.
        failures: what could not be read, as far as windows have come.
        removed: whether the range touches telemetry that has been removed.
    """

    kind: Kind
    telemetry: Telemetry
    time_range: TimeRange
    sources: Sources
    tally: QueryTally
    cancellation: Cancellation
    with_attributes: bool = False
    failures: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process, self.history = self.telemetry.process, self.telemetry.history
        self.streams = self.telemetry.of_kind(self.kind)
        self.stream_ids = pa.array([stream.stream_id for stream in self.streams], pa.utf8())
        self.thread_names = pa.array([stream.thread_name for stream in self.streams], pa.utf8())
        others: list[Stretch] = []
        units: list[Stretch] = []
        self.removed = False
        if self.streams:
            cover = self.sources.histories.cover(self.history, self.time_range)
            others, units = _of_kind(self.kind, cover)
            self.removed = cover.removed
        self._columns = [*self.kind.rows.names, *([ATTRIBUTES.name] if self.with_attributes else [])]
        self._nb_others = len(others)
        self._layout = _Layout.of(self.kind, [*others, *units], self.stream_ids) if others or units else None
        self._units = [
            number
            for number in range(len(others), len(others) + len(units))
            if self._layout is not None and np.any(self._layout.runs_of(number) >= 0)
        ]
        self._partitions: dict[StretchKey, PartitionRow] = {}

    @property
    def index(self) -> Index | None:
        """None if there is nothing at all."""
        return self._layout.index if self._layout is not None else None

    @property
    def nb_events(self) -> int:
        """Events of the partitions that the range touches."""
        return sum(self._stretch(unit).nb_events for unit in self._units)

    def find_partitions(self) -> list[Stretch]:
        """Look up which partitions there are; returns the stretches that have none."""
        stretches = [self._stretch(unit) for unit in self._units]
        rows = self.sources.metadata.partitions.of(
            self.process.process_id, self.kind.name, [stretch.key.first_segment for stretch in stretches]
        )
        fresh = {StretchKey(row.nb_segments, row.first_segment): row for row in rows}
        self._partitions = {
            stretch.key: row
            for stretch in stretches
            if (row := fresh.get(stretch.key)) is not None and row.source_hash == source_hash(self.kind, stretch)
        }
        return [stretch for stretch in stretches if stretch.key not in self._partitions]

    def materialize(self) -> int:
        """Make the partitions that the range needs and that are missing; returns their number.

        Raises:
            QueryCancelled: the cancellation said so.
            CorruptData, StoreRefused, StoreUnavailable: one could not be made; the others are.
        """
        missing = self.find_partitions()
        errors: list[UdtfError] = []
        for build in self._ahead(self._build, missing):
            self.cancellation.check()
            try:
                build.result()
            except UdtfError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return len(missing)

    def windows(self) -> Iterator[Window | None]:
        """The rows of the range; None now and then while there is nothing new yet.

        Raises:
            QueryCancelled: the cancellation said so.
        """
        if self._layout is None:
            yield Window([], True)
            return
        self.find_partitions()
        reader = self._reader
        is_other = np.zeros(len(self._layout.index.runs), np.bool_)
        of_others = self._layout.places[: self._layout.offsets[self._nb_others]]
        is_other[of_others[of_others >= 0]] = True
        outside = self._in_range(reader.outside(is_other))
        keep = self.sources.partitions.keeps_rows(self.nb_events)
        reads = self._ahead(lambda unit: self._read(unit, reader, keep), self._units)
        parts = [outside] if len(outside.columns) else []
        size, cuts = 0, self._cuts(outside) if self.kind.is_ordered else np.ones(len(self._units) + 1, np.bool_)
        for number, (unit, read) in enumerate(zip(self._units, reads, strict=True)):
            while not _is_done(read):
                self.cancellation.check()
                yield None
            read_parts, failures = read.result()
            self.failures += failures
            parts += [self._in_range(part) for part in read_parts]
            size += self._stretch(unit).nb_events
            if cuts[number + 1] and size >= WINDOW_EVENTS and number + 1 < len(self._units):
                parts, later = self._begun_by(parts, self._stretch(self._units[number + 1]).begin_time)
                yield Window(parts, False)
                parts, size = later, 0
        yield Window(parts, True)

    def losses(self) -> list[Loss]:
        """Where events were lost between two events of which one is before the end, and one after the begin of the
        range; or before the first event of a stream, if that is in the range."""
        if self.index is None:
            return []
        runs, clock = self.index.runs, self.process.clock
        is_first = np.ones(len(runs), np.bool_)
        is_first[1:] = runs.streams[1:] != runs.streams[:-1]
        lost = runs.first - np.where(is_first, 0, np.roll(runs.end, 1))
        begin_ns = clock.to_ns(runs.begin_ticks)
        before_ns = np.where(is_first, begin_ns, np.roll(clock.to_ns(runs.end_ticks), 1))
        holes = np.flatnonzero(
            (lost > 0) & (begin_ns >= self.time_range.begin_ns) & (before_ns <= self.time_range.end_ns)
        )
        return [Loss(int(runs.streams[i]), int(lost[i]), int(begin_ns[i]), int(runs.first[i])) for i in holes]

    def orphans(self) -> dict[int, int]:
        """How many events in the range close what was never begun, by stream, if there are any."""
        if self.index is None:
            return {}
        streams, times_ns = self._reader.orphans()
        in_range = (times_ns >= self.time_range.begin_ns) & (times_ns <= self.time_range.end_ns)
        found, counts = np.unique(streams[in_range], return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def begin_ns(self, stream: int) -> int:
        """Time of the first event of a stream; the begin of its process if it has none."""
        if self.index is not None:
            runs = np.flatnonzero(self.index.runs.streams == stream)
            if len(runs):
                return int(self.process.clock.to_ns(self.index.runs.begin_ticks[runs[0]]))
        return self.process.start_time

    def has_events(self, stream: int) -> bool:
        return self.index is not None and bool(np.any(self.index.runs.streams == stream))

    # How it is done.

    @cached_property
    def _reader(self) -> Reader[Any]:
        assert self._layout is not None
        return self.kind.reader(self._layout.index, self.process.clock)

    def _stretch(self, number: int) -> Stretch:
        assert self._layout is not None
        return self._layout.stretches[number]

    def _ahead(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Future[Result]]:
        return work_ahead(self.sources.reads, work, items, self.sources.max_reads)

    def _begun_by(self, parts: list[Part[Any]], time_ns: int) -> tuple[list[Part[Any]], list[Part[Any]]]:
        """Rows that begin before the time at which all that come later begin at the earliest, and the others; in a kind
        whose rows come in this order."""
        if not self.kind.comes_by_begin:
            return parts, []
        masks = [part.columns.begins_ns < time_ns for part in parts]
        begun = [part.select(mask) for part, mask in zip(parts, masks, strict=True) if mask.any()]
        return begun, [part.select(~mask) for part, mask in zip(parts, masks, strict=True) if not mask.all()]

    def _in_range(self, part: Part[Any]) -> Part[Any]:
        return part.select(part.columns.overlapping(self.time_range))

    def _cuts(self, outside: Part[Any]) -> npt.NDArray[np.bool_]:
        """Whether a window may end before each unit, and after the last: where no stream would go back."""
        assert self._layout is not None
        nb_positions = len(self._units) + 1
        shown = outside.runs[np.diff(outside.bounds) > 0]
        runs = [shown, *(self._wanted_runs(unit) for unit in self._units)]
        positions = np.repeat(np.arange(nb_positions), [len(part) for part in runs])
        order = np.argsort(np.concatenate(runs), kind="stable")
        positions = positions[order]
        streams = self._layout.index.runs.streams[np.concatenate(runs)[order]].astype(np.int64)
        # Within each stream the latest window position of any event up to this one.
        latest = np.maximum.accumulate(streams * nb_positions + positions) - streams * nb_positions
        back = latest > positions
        change = np.zeros(nb_positions + 1, np.int64)
        np.add.at(change, positions[back] + 1, 1)
        np.add.at(change, latest[back] + 1, -1)
        allowed: npt.NDArray[np.bool_] = np.cumsum(change)[: nb_positions + 1] == 0
        return allowed[1:]

    def _wanted_runs(self, unit: int) -> Int64s:
        assert self._layout is not None
        runs = self._layout.runs_of(unit)
        return runs[runs >= 0]

    def _build(self, stretch: Stretch, *, here: bool = False) -> Built | PartitionRow:
        return self.sources.jit.build(self.kind, self.process, self.history, stretch, self.tally, here=here)

    def _read(self, unit: int, reader: Reader[Any], keep: bool) -> tuple[list[Part[Any]], list[Failure]]:
        """The rows of one partition, complete; if some of its segments are damaged, those of the others."""
        assert self._layout is not None
        stretch, runs = self._stretch(unit), self._layout.runs_of(unit)
        try:
            return [self._read_stretch(stretch, runs, reader, keep)], []
        except CorruptData as error:
            return self._salvage(stretch, error)
        except (StoreRefused, StoreUnavailable) as error:
            # Each of its segments would be asked for, and retried, in vain.
            return [], _failures(stretch, self._layout.index.runs.take(runs[runs >= 0]), error)

    def _read_stretch(self, stretch: Stretch, runs: Int64s, reader: Reader[Any], keep: bool) -> Part[Any]:
        index = stretch.index_of(self.kind.name)
        assert index is not None
        wanted = np.flatnonzero(runs >= 0)
        row_bounds = np.concatenate(([0], np.cumsum(index.runs.nb_rows)))
        # Runs are by stream, so those of one stream are side by side, and so are those of all.
        first, last = int(wanted[0]), int(wanted[-1]) + 1
        begin, end = int(row_bounds[first]), int(row_bounds[last])
        rows, scopes = self._rows(stretch, begin, end, keep)
        bounds = row_bounds[first : last + 1] - begin
        columns = reader.complete(rows, scopes, runs[first:last], bounds)
        return Part(columns, runs[first:last], bounds, scopes)

    def _rows(self, stretch: Stretch, begin: int, end: int, keep: bool) -> Any:
        """Some rows of a partition and its scopes; it is built if there is none, or none that can be read."""
        made: Built | PartitionRow = self._partitions.get(stretch.key) or self._build(stretch)
        if isinstance(made, PartitionRow):
            try:
                return self.sources.partitions.read(made, self._columns, begin, end, self.tally, keep=keep)
            except CorruptData:
                self.sources.jit.forget(made)
                made = self._build(stretch, here=True)
        assert isinstance(made, Built)
        return made.rows.slice(begin, end - begin), made.scopes

    def _salvage(self, stretch: Stretch, error: CorruptData) -> tuple[list[Part[Any]], list[Failure]]:
        """What can be read of a stretch in which something is damaged: segment by segment. How runs hang together is
        worked out once more, as those of segments are cut differently."""
        assert self._layout is not None
        segments = [stretch]
        if stretch.key.nb_segments > 1:
            numbers = range(stretch.key.first_segment, stretch.key.end_segment)
            segments = self.sources.histories.of(self.history, [StretchKey(1, number) for number in numbers])
        others = [other for other in self._layout.stretches if other is not stretch]
        of_kind = [segment for segment in segments if segment.index_of(self.kind.name) is not None]
        layout = _Layout.of(self.kind, [*others, *of_kind], self.stream_ids)
        reader = self.kind.recut_reader(self._reader, layout.index, self.process.clock)
        parts: list[Part[Any]] = []
        failures: list[Failure] = []
        for number, segment in enumerate(of_kind, len(others)):
            runs = layout.runs_of(number)
            if not np.any(runs >= 0):
                continue
            try:
                if segment is stretch:
                    raise error
                part = self._read_stretch(segment, runs, reader, keep=False)
            except CorruptData as failed:
                failures += _failures(segment, layout.index.runs.take(runs[runs >= 0]), failed)
            else:
                known = _containing(self._layout.index.runs, layout.index.runs.take(part.runs))
                parts.append(replace(part, runs=known))
        return parts, failures


def _of_kind(kind: Kind, cover: Cover) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches of a cover that have telemetry of a kind: those outside of the range, and those that touch it."""
    others, units = (
        [stretch for stretch in stretches if stretch.index_of(kind.name) is not None]
        for stretches in (cover.others, cover.units)
    )
    return others, units


def _failures(stretch: Stretch, lost: Runs, error: UdtfError) -> list[Failure]:
    """That some runs of a stretch cannot be read: one for each of their streams."""
    return [Failure(stream, stretch.begin_time, error) for stream in np.unique(lost.streams).tolist()]


def _containing(runs: Runs, parts: Runs) -> Int64s:
    """Which of `runs`, which are by stream and ordinal, each of `parts` lies in."""
    result = np.empty(len(parts), np.int64)
    for stream in np.unique(parts.streams):
        first, last = np.searchsorted(runs.streams, [stream, stream + 1])
        here = parts.streams == stream
        result[here] = first + np.searchsorted(runs.first[first:last], parts.first[here], side="right") - 1
    return result


def _is_done(future: Future[Any]) -> bool:
    """Whether a result is there; waits for a moment before it says no."""
    return bool(wait([future], timeout=MAX_POLL_SECONDS).done)
