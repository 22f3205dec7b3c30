"""View set `async_events`: begin and end events of spans that may overlap, matched by span id.

A partition holds one row per event, and with each the time and ordinal of its other half where that is in the same
run. Pairs are made once, when a partition is built; a reader only fills in the few that lie across runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake import schemas
from udtf.lake.block_format import BEGIN, Events
from udtf.lake.clock import Clock
from udtf.lake.events import concatenate
from udtf.lake.partition_file import (
    OPEN,
    ScopeTable,
    Summary,
    nanoseconds,
    timestamps,
    unmatched_ends,
    write_partition,
)
from udtf.lake.runs import Run, runs_in_range
from udtf.lake.view_set import BuiltPartition, ReadPartition, ViewSet
from udtf.time_range import TimeRange

NO_PARENT = 0

ROWS = pa.schema(
    [
        pa.field("event_id", pa.int64(), nullable=False),
        pa.field("time", schemas.TIMESTAMP, nullable=False),
        pa.field("is_begin", pa.bool_(), nullable=False),
        pa.field("span_id", pa.int64(), nullable=False),
        pa.field("parent_span_id", pa.int64(), nullable=False),
        pa.field("depth", pa.uint32(), nullable=False),
        pa.field("scope", pa.int32(), nullable=False),
        pa.field("other_event_id", pa.int64()),
        pa.field("other_time", schemas.TIMESTAMP),
    ]
)

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AsyncBatch:
    """Some events of one async stream as columns of equal length, in their order.

    `event_ids` are ordinals in the stream. `other_*` belong to the end of a begin (`OPEN` if the span has not ended)
    and to the begin of an end.
    """

    event_ids: Int64s
    times_ns: Int64s
    is_begin: npt.NDArray[np.bool_]
    span_ids: Int64s
    parent_span_ids: Int64s
    depths: npt.NDArray[np.uint32]
    scopes: npt.NDArray[np.int32]
    other_event_ids: Int64s
    other_times_ns: Int64s
    scope_table: ScopeTable

    def __len__(self) -> int:
        return len(self.event_ids)

    @classmethod
    def of(cls, rows: pa.RecordBatch, scope_table: ScopeTable) -> "AsyncBatch":
        """Rows of a partition; an other half in another partition is `OPEN` as yet."""
        return cls(
            nanoseconds(rows.column("event_id")),
            nanoseconds(rows.column("time")),
            rows.column("is_begin").to_numpy(zero_copy_only=False),
            nanoseconds(rows.column("span_id")),
            nanoseconds(rows.column("parent_span_id")),
            rows.column("depth").to_numpy(),
            rows.column("scope").to_numpy(),
            nanoseconds(rows.column("other_event_id")).copy(),
            nanoseconds(rows.column("other_time")).copy(),
            scope_table,
        )

    def where(self, mask: npt.NDArray[np.bool_]) -> "AsyncBatch":
        """The events that a mask selects."""
        return AsyncBatch(
            self.event_ids[mask],
            self.times_ns[mask],
            self.is_begin[mask],
            self.span_ids[mask],
            self.parent_span_ids[mask],
            self.depths[mask],
            self.scopes[mask],
            self.other_event_ids[mask],
            self.other_times_ns[mask],
            self.scope_table,
        )

    def swapped(self) -> "AsyncBatch":
        """The other half of each event."""
        order = np.argsort(self.other_event_ids)
        return AsyncBatch(
            self.other_event_ids[order],
            self.other_times_ns[order],
            ~self.is_begin[order],
            self.span_ids[order],
            self.parent_span_ids[order],
            self.depths[order],
            self.scopes[order],
            self.event_ids[order],
            self.times_ns[order],
            self.scope_table,
        )

    def overlapping(self, time_range: TimeRange) -> "AsyncBatch":
        """The events of spans that overlap a time range; an end without a begin belongs to none."""
        begins_ns = np.where(self.is_begin, self.times_ns, self.other_times_ns)
        ends_ns = np.where(self.is_begin, self.other_times_ns, self.times_ns)
        orphans = ~self.is_begin & (self.other_event_ids == OPEN)
        mask = (begins_ns <= time_range.end_ns) & (ends_ns >= time_range.begin_ns) & ~orphans
        return self if mask.all() else self.where(mask)


class AsyncEvents(ViewSet["AsyncPlan"]):
    """See the module."""

    name = "async_events"
    instance_of = "process"
    stream_tag = schemas.ASYNC_TAG
    schema_version = 1

    def build(self, run: Run, blocks: Sequence[Events], clock: Clock) -> BuiltPartition:
        events, scope_table = concatenate(blocks)
        columns = events.async_columns
        assert columns is not None, "ingestion lets no other blocks into an async stream"
        event_ids = np.arange(len(events)) + run.begin_offset
        times_ns = clock.to_ns(events.ticks)
        is_begin = events.kinds == BEGIN
        others = _pair(is_begin, columns.span_ids)
        unpaired = others < 0
        table = pa.table(
            [
                pa.array(event_ids),
                timestamps(times_ns),
                pa.array(is_begin),
                pa.array(columns.span_ids),
                pa.array(columns.parent_span_ids),
                pa.array(columns.depths),
                pa.array(events.scopes),
                pa.array(event_ids[others], mask=unpaired),
                timestamps(times_ns[others], mask=unpaired),
            ],
            schema=ROWS,
        )
        opened = np.flatnonzero(unpaired & is_begin)
        ended = np.flatnonzero(unpaired & ~is_begin)
        open_rows = table.take(pa.array(opened))
        summary = Summary(
            scope_table,
            pa.RecordBatch.from_arrays([column.combine_chunks() for column in open_rows.columns], schema=ROWS),
            unmatched_ends(event_ids[ended], times_ns[ended], columns.span_ids[ended]),
        )
        return BuiltPartition(write_partition(table), summary, table.num_rows)

    def plan(self, runs: Sequence[Run], time_range: TimeRange) -> "AsyncPlan":
        return AsyncPlan.of(runs, time_range)


@dataclass(frozen=True)
class AsyncPlan:
    """What a time range needs of one async stream.

    Which run ends a span that another one left open is known only from their summaries, so every run before the range
    that leaves spans open or ends some is needed, and every run after it that ends some.
    """

    runs: Sequence[Run]
    time_range: TimeRange
    in_range: range
    needed: list[int]

    @classmethod
    def of(cls, runs: Sequence[Run], time_range: TimeRange) -> "AsyncPlan":
        in_range = runs_in_range(runs, time_range)
        needed = [
            index
            for index, run in enumerate(runs)
            if index in in_range
            or (index < in_range.start and (run.unmatched_begins or run.unmatched_ends))
            or (index >= in_range.stop and run.unmatched_ends)
        ]
        return cls(runs, time_range, in_range, needed)

    def orphan_ends(self, summaries: Mapping[int, Summary]) -> int:
        """Ends that close nothing, in the runs that the range touches."""
        pairs = _Pairs.of(summaries)
        is_in_range = (pairs.event_ids >= self._first_event_of(self.in_range.start)) & (
            pairs.event_ids < self._first_event_of(self.in_range.stop)
        )
        return int(np.count_nonzero(is_in_range & ~pairs.is_begin & (pairs.others < 0)))

    def scan(self, summaries: Mapping[int, Summary], read: ReadPartition) -> Iterator[AsyncBatch]:
        """The events of the spans that overlap the time range, in their order; but ends that lie in runs after the
        range come last, run by run of their begins.

        Args:
            summaries: those of the `needed` runs, by index.
        """
        pairs = _Pairs.of(summaries)
        before, after = [], []
        for run in self.needed:
            if run < self.in_range.stop:
                opened = pairs.fill(AsyncBatch.of(summaries[run].open_rows, summaries[run].scope_table))
                opened = opened.overlapping(self.time_range)
                ends_after = (opened.other_event_ids >= self._first_event_of(self.in_range.stop)) & (
                    opened.other_event_ids != OPEN
                )
                after.append(opened.where(ends_after).swapped())
                if run < self.in_range.start:
                    reaches = opened.other_event_ids >= self._first_event_of(self.in_range.start)
                    before.append(opened.where(reaches))
        yield from (events for events in before if len(events))
        for run in self.in_range:
            for batch in read(self.runs[run], ROWS.names):
                events = pairs.fill(AsyncBatch.of(batch, summaries[run].scope_table))
                if len(events := events.overlapping(self.time_range)):
                    yield events
        yield from (events for events in after if len(events))

    def _first_event_of(self, run: int) -> int:
        return self.runs[run].begin_offset if run < len(self.runs) else int(OPEN)


@dataclass(frozen=True)
class _Pairs:
    """Halves of spans that lie in different runs, in order of their events; `others` as of `_pair`."""

    event_ids: Int64s
    times_ns: Int64s
    is_begin: npt.NDArray[np.bool_]
    others: Int64s

    @classmethod
    def of(cls, summaries: Mapping[int, Summary]) -> "_Pairs":
        event_ids, times_ns, span_ids, is_begin = [], [], [], []
        for summary in summaries.values():
            for rows, begins in ((summary.open_rows, True), (summary.ends, False)):
                event_ids.append(nanoseconds(rows.column("event_id")))
                times_ns.append(nanoseconds(rows.column("time")))
                span_ids.append(nanoseconds(rows.column("span_id")))
                is_begin.append(np.full(rows.num_rows, begins))
        if not event_ids:
            nothing = np.empty(0, np.int64)
            return cls(nothing, nothing, np.empty(0, np.bool_), nothing)
        order = np.argsort(np.concatenate(event_ids))
        sorted_begins = np.concatenate(is_begin)[order]
        others = _pair(sorted_begins, np.concatenate(span_ids)[order])
        return cls(np.concatenate(event_ids)[order], np.concatenate(times_ns)[order], sorted_begins, others)

    def fill(self, batch: AsyncBatch) -> AsyncBatch:
        """Give the events of a batch their other halves, in place."""
        rows = np.flatnonzero(batch.other_event_ids == OPEN)
        others = self.others[np.searchsorted(self.event_ids, batch.event_ids[rows])]
        rows, others = rows[others >= 0], others[others >= 0]
        batch.other_event_ids[rows] = self.event_ids[others]
        batch.other_times_ns[rows] = self.times_ns[others]
        return batch


def _pair(is_begin: npt.NDArray[np.bool_], span_ids: Int64s) -> Int64s:
    """For each event its other half: the end that follows a begin, the begin that precedes an end, or -1."""
    order = np.argsort(span_ids, kind="stable")
    ids, begins = span_ids[order], is_begin[order]
    pairs = np.flatnonzero((ids[:-1] == ids[1:]) & begins[:-1] & ~begins[1:])
    others = np.full(len(span_ids), -1)
    others[order[pairs]] = order[pairs + 1]
    others[order[pairs + 1]] = order[pairs]
    return others
