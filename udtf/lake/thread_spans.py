"""View set `thread_spans`: the spans of one thread, in order of their begins.

A partition tells what its own run of events tells: depth counted from the run's first event, no parent, begin or end
that lies in another run. Reading puts that right from the summaries: which span was open when a run began, and where
a span that a run left open has ended (`matching.match_runs`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake import schemas
from udtf.lake.block_format import Events
from udtf.lake.clock import Clock
from udtf.lake.events import concatenate
from udtf.lake.matching import match_events, match_runs
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

NO_PARENT = -1

ROWS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("parent", pa.int64(), nullable=False),
        pa.field("depth", pa.uint32(), nullable=False),
        pa.field("begin", schemas.TIMESTAMP, nullable=False),
        pa.field("end", schemas.TIMESTAMP),
        pa.field("scope", pa.int32(), nullable=False),
    ]
)

Int64s = npt.NDArray[np.int64]

_NOTHING: Int64s = np.empty(0, np.int64)


@dataclass(frozen=True)
class SpanBatch:
    """Some spans of one thread as columns of equal length, in order of their begins.

    `ids` are ordinals of begin events in the stream, `parents` such ids or `NO_PARENT`, `ends_ns` are `OPEN` where
    the span has not ended, `scopes` are codes into `scope_table`.
    """

    ids: Int64s
    parents: Int64s
    depths: npt.NDArray[np.uint32]
    begins_ns: Int64s
    ends_ns: Int64s
    scopes: npt.NDArray[np.int32]
    scope_table: ScopeTable

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: npt.NDArray[np.bool_]) -> "SpanBatch":
        """The spans that a mask selects."""
        return SpanBatch(
            self.ids[mask],
            self.parents[mask],
            self.depths[mask],
            self.begins_ns[mask],
            self.ends_ns[mask],
            self.scopes[mask],
            self.scope_table,
        )

    def overlapping(self, time_range: TimeRange) -> "SpanBatch":
        """The spans that overlap a time range, whole."""
        mask = (self.begins_ns <= time_range.end_ns) & (self.ends_ns >= time_range.begin_ns)
        return self if mask.all() else self.where(mask)


class ThreadSpans(ViewSet["ThreadPlan"]):
    """See the module."""

    name = "thread_spans"
    instance_of = "stream"
    stream_tag = schemas.THREAD_TAG
    schema_version = 1

    def build(self, run: Run, blocks: Sequence[Events], clock: Clock) -> BuiltPartition:
        events, scope_table = concatenate(blocks)
        begins, ends, parents, depths, orphans = match_events(events.kinds)
        times_ns = clock.to_ns(events.ticks)
        is_open = ends < 0
        table = pa.table(
            [
                pa.array(begins + run.begin_offset),
                pa.array(np.where(parents >= 0, parents + run.begin_offset, NO_PARENT)),
                pa.array(depths),
                timestamps(times_ns[begins]),
                timestamps(times_ns[ends], mask=is_open),
                pa.array(events.scopes[begins]),
            ],
            schema=ROWS,
        )
        open_rows = table.take(pa.array(np.flatnonzero(is_open))).combine_chunks()
        summary = Summary(
            scope_table,
            pa.RecordBatch.from_arrays([column.combine_chunks() for column in open_rows.columns], schema=ROWS),
            unmatched_ends(orphans + run.begin_offset, times_ns[orphans], np.zeros(len(orphans), np.int64)),
        )
        return BuiltPartition(write_partition(table), summary, table.num_rows)

    def plan(self, runs: Sequence[Run], time_range: TimeRange) -> "ThreadPlan":
        return ThreadPlan.of(runs, time_range)


def _rebased(batch: pa.RecordBatch, stack_ids: Int64s, summary: Summary) -> SpanBatch:
    """Rows of a partition with depths and parents as they are in the stream.

    `stack_ids` are the spans open when the run began, outermost first.
    """
    ids = nanoseconds(batch.column("id"))
    depths = batch.column("depth").to_numpy()
    parents = nanoseconds(batch.column("parent")) if "parent" in batch.schema.names else np.full(len(ids), NO_PARENT)
    if len(stack_ids):
        # Every unmatched end before a span took one span off that stack.
        taken = np.searchsorted(nanoseconds(summary.ends.column("event_id")), ids)
        left = np.maximum(len(stack_ids) - taken, 0)
        parents = np.where((depths == 0) & (left > 0), stack_ids[left - 1], parents)
        depths = depths + left.astype(np.uint32)
    return SpanBatch(
        ids,
        parents,
        depths,
        nanoseconds(batch.column("begin")),
        nanoseconds(batch.column("end")).copy(),
        batch.column("scope").to_numpy(),
        summary.scope_table,
    )


@dataclass(frozen=True)
class ThreadPlan:
    """How the runs of one thread hang together, for one time range.

    The spans that runs leave open are numbered run after run; those of run r are `first_open[r]` up to
    `first_open[r + 1]`.
    """

    runs: Sequence[Run]
    time_range: TimeRange
    in_range: range
    needed: list[int]
    nb_orphan_ends: int
    first_open: Int64s
    closer_run: Int64s
    closer_index: Int64s
    enclosing: Int64s
    start_top: Int64s

    @classmethod
    def of(cls, runs: Sequence[Run], time_range: TimeRange) -> "ThreadPlan":
        in_range = runs_in_range(runs, time_range)
        begins = np.array([run.unmatched_begins for run in runs], np.int64)
        closer_run, closer_index, enclosing, _, start_top, orphan_ends = match_runs(
            np.array([run.lost_before > 0 for run in runs], np.bool_),
            np.array([run.unmatched_ends for run in runs], np.int64),
            begins,
        )
        first_open = np.concatenate(([0], np.cumsum(begins)))
        # What is open when the range begins, and what its runs leave open, each with the run that closes it.
        before = closer_run[: first_open[in_range.start]]
        shown = np.concatenate(
            [
                np.flatnonzero((before < 0) | (before >= in_range.start)),
                np.arange(first_open[in_range.start], first_open[in_range.stop]),
            ]
        )
        openers = np.searchsorted(first_open, shown, side="right") - 1
        needed = {*in_range, *openers.tolist(), *closer_run[shown].tolist()} - {-1}
        return cls(
            runs,
            time_range,
            in_range,
            sorted(needed),
            int(orphan_ends[in_range.start : in_range.stop].sum()),
            first_open,
            closer_run,
            closer_index,
            enclosing,
            start_top,
        )

    def orphan_ends(self, summaries: Mapping[int, Summary]) -> int:
        """Ends that close nothing, in the runs that the range touches; no summary has to say."""
        return self.nb_orphan_ends

    def scan(
        self, summaries: Mapping[int, Summary], read: ReadPartition, *, with_parents: bool = True
    ) -> Iterator[SpanBatch]:
        """The spans that overlap the time range, in order of their begins.

        Args:
            summaries: those of the `needed` runs, by index.
            with_parents: whether `parents` is wanted; else it is filled with `NO_PARENT`.
        """
        yield from self._open_before(summaries)
        columns = [name for name in ROWS.names if with_parents or name != "parent"]
        for run in self.in_range:
            stack_ids = self._stack_ids(run, summaries)
            ends_ns = self._ends_of(run, summaries)
            filled = 0
            for batch in read(self.runs[run], columns):
                spans = _rebased(batch, stack_ids, summaries[run])
                is_open = spans.ends_ns == OPEN
                open_count = int(is_open.sum())
                if open_count:
                    spans.ends_ns[is_open] = ends_ns[filled : filled + open_count]
                    filled += open_count
                if len(spans := spans.overlapping(self.time_range)):
                    yield spans

    def _open_before(self, summaries: Mapping[int, Summary]) -> Iterator[SpanBatch]:
        """Spans that begin in runs before the range and reach into it."""
        for run in self.needed:
            if run >= self.in_range.start:
                break
            spans = _rebased(summaries[run].open_rows, self._stack_ids(run, summaries), summaries[run])
            spans.ends_ns[:] = self._ends_of(run, summaries)
            closer_run = self.closer_run[self.first_open[run] : self.first_open[run + 1]]
            spans = spans.where((closer_run < 0) | (closer_run >= self.in_range.start))
            if len(spans := spans.overlapping(self.time_range)):
                yield spans

    def _ends_of(self, run: int, summaries: Mapping[int, Summary]) -> Int64s:
        """Ends of the spans that a run left open; `OPEN` where there is none, or none that the range needs."""
        opened = slice(self.first_open[run], self.first_open[run + 1])
        if opened.start == opened.stop:
            return _NOTHING
        closer_run, closer_index = self.closer_run[opened], self.closer_index[opened]
        ends_ns = np.full(len(closer_run), OPEN)
        for closer in np.unique(closer_run).tolist():
            if closer in summaries:
                here = closer_run == closer
                ends_ns[here] = nanoseconds(summaries[closer].ends.column("time"))[closer_index[here]]
        return ends_ns

    def _stack_ids(self, run: int, summaries: Mapping[int, Summary]) -> Int64s:
        """Ids of the spans open when a run began, outermost first; `NO_PARENT` for one that the range does not need
        (one that has ended before it)."""
        if self.start_top[run] < 0:
            return _NOTHING
        numbers = []
        number = int(self.start_top[run])
        while number >= 0:
            numbers.append(number)
            number = int(self.enclosing[number])
        opened = np.array(numbers[::-1], np.int64)
        openers = np.searchsorted(self.first_open, opened, side="right") - 1
        ids = np.full(len(opened), NO_PARENT)
        for opener in np.unique(openers).tolist():
            if opener in summaries:
                here = openers == opener
                open_ids = nanoseconds(summaries[opener].open_rows.column("id"))
                ids[here] = open_ids[opened[here] - self.first_open[opener]]
        return ids
