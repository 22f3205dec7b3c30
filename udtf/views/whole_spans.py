"""View set `whole_spans`: spans that come whole, when they have ended: late, in any order, long ones after short ones.

What a stretch covers in time is where its spans end, and as much before that: spans that begin earlier still are its
loose events. So a span of an hour that ends within the flush of a second is known by the index, and not by reading an
hour; in a stretch of an hour, it is one of many. Loose spans, which come first, are left out of the rows of partitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import CorruptData, InvalidEvent
from udtf.lake import schemas
from udtf.lake.attributes import attributes_of, with_attributes
from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index, Runs
from udtf.lake.metadata import StreamRow
from udtf.lake.scopes import ScopeTable
from udtf.lake.time_range import TimeRange
from udtf.perfetto.whole_spans import WholeTracer
from udtf.perfetto.writer import TraceWriter
from udtf.views.kind import Bools, Int64s, Kind, Part, Reader
from udtf.views.spans import PROCESS_SPAN_COLUMNS, Spans, nanoseconds, process_span_batch, taken, timestamps

_LEAST_TICK = int(np.iinfo(np.int64).min)


class WholeSpans(Kind):
    """See the module."""

    name = "whole_spans"
    instance_of = "process"
    tag = schemas.WHOLE_TAG
    span_type = "async"
    column = "whole_spans"
    event = schemas.WHOLE_SPAN
    rows = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("parent", pa.int64(), nullable=False),
            pa.field("begin", schemas.TIMESTAMP, nullable=False),
            pa.field("end", schemas.TIMESTAMP, nullable=False),
            pa.field("scope", pa.int32(), nullable=False),
        ]
    )
    columns = PROCESS_SPAN_COLUMNS
    schema_version = 1
    is_ordered = False
    comes_by_begin = True

    def check(self, events: Events, bounds: Int64s) -> None:
        span_ids = events.column("span_id")
        if not np.all(span_ids):
            raise InvalidEvent(int(np.argmin(span_ids != 0)), "column 'span_id' is 0", "any other number")
        ticks, end_ticks = events.column("ticks"), events.column("end_ticks")
        if np.any(end_ticks < ticks):
            wrong = int(np.argmax(end_ticks < ticks))
            raise InvalidEvent(wrong, f"column 'end_ticks' is {end_ticks[wrong]}", f"{ticks[wrong]} or more")

    def extents(self, events: Events, bounds: Int64s) -> tuple[Int64s, Int64s]:
        ticks, end_ticks = events.column("ticks"), events.column("end_ticks")
        return np.minimum.reduceat(ticks, bounds[:-1]), np.maximum.reduceat(end_ticks, bounds[:-1])

    def covered(self, events: Events, bounds: Int64s) -> tuple[Int64s, Int64s]:
        end_ticks = events.column("end_ticks")
        return np.minimum.reduceat(end_ticks, bounds[:-1]), np.maximum.reduceat(end_ticks, bounds[:-1])

    def settle(self, events: Events, bounds: Int64s, runs: Runs) -> tuple[Bools, Runs]:
        begin, end = int(runs.begin_ticks.min()), int(runs.end_ticks.max())
        ticks = events.column("ticks")
        is_loose: Bools = ticks < max(begin - (end - begin), _LEAST_TICK)
        begin_ticks = runs.begin_ticks.copy()
        run_of = np.repeat(np.arange(len(runs)), np.diff(bounds))
        np.minimum.at(begin_ticks, run_of[~is_loose], ticks[~is_loose])
        return is_loose, replace(runs, begin_ticks=begin_ticks)

    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        raise NotImplementedError("what is loose depends on what is covered: see settle")

    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        counts: Int64s = np.diff(bounds)
        return counts

    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        rows = pa.record_batch(
            [
                events.rows.column("span_id"),
                events.rows.column("parent_span_id"),
                timestamps(clock.to_ns(events.column("ticks"))),
                timestamps(clock.to_ns(events.column("end_ticks"))),
                events.rows.column("scope"),
            ],
            schema=self.rows,
        )
        return with_attributes(rows, events.attributes)

    def reader(self, index: Index, clock: Clock) -> "WholeReader":
        return WholeReader(index, index, clock)

    def recut_reader(self, reader: "Reader[WholeRows]", index: Index, clock: Clock) -> "WholeReader":
        assert isinstance(reader, WholeReader)
        return replace(reader, runs_index=index)

    def batch(
        self, part: "Part[WholeRows]", streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        stream_ids = pa.array([stream.stream_id for stream in streams], pa.utf8())
        thread_names = pa.array([stream.thread_name for stream in streams], pa.utf8())
        return process_span_batch(part.columns.spans(), part.scopes, row_streams, stream_ids, thread_names)

    def spans(self, part: "Part[WholeRows]") -> Part[Spans]:
        return Part(part.columns.spans(), part.runs, part.bounds, part.scopes)

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> WholeTracer:
        threads = [writer.thread(stream.thread_stream_id) for stream in streams]
        return WholeTracer(writer, threads, index.runs.streams)


@dataclass(frozen=True)
class WholeRows:
    """Some spans as columns of equal length; `parents` are 0 where there is none, `scopes` are codes, `attributes` are
    None if there are none, or they were not asked for. No range shows those that are left out."""

    ids: Int64s
    parents: Int64s
    begins_ns: Int64s
    ends_ns: Int64s
    scopes: npt.NDArray[np.int32]
    are_left_out: Bools
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def overlapping(self, time_range: TimeRange) -> Bools:
        return (self.begins_ns <= time_range.end_ns) & (self.ends_ns >= time_range.begin_ns) & ~self.are_left_out

    def take(self, positions: Int64s) -> "WholeRows":
        return WholeRows(*taken(self, positions))

    def spans(self) -> Spans:
        """How many ancestors a span has is not known: its depth is 0 without a parent, and 1 with one."""
        depths = (self.parents != 0).astype(np.int32)
        return Spans(self.ids, self.parents, depths, self.begins_ns, self.ends_ns, self.scopes, self.attributes)


@dataclass(frozen=True)
class WholeReader(Reader[WholeRows]):
    """Reads rows of the runs of `runs_index`; the spans that are loose in `index` come by themselves."""

    index: Index
    runs_index: Index
    clock: Clock

    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> WholeRows:
        if rows.num_rows != bounds[-1]:
            raise CorruptData(f"a partition has {rows.num_rows} rows, expected {bounds[-1]}")
        return WholeRows(
            nanoseconds(rows.column("id")),
            nanoseconds(rows.column("parent")),
            nanoseconds(rows.column("begin")),
            nanoseconds(rows.column("end")),
            rows.column("scope").to_numpy(),
            self._loose_in(runs, bounds),
            attributes_of(rows),
        )

    def outside(self, runs: Bools) -> Part[WholeRows]:
        """The loose spans of all runs, also of those that are read."""
        loose = self.index.loose
        columns = WholeRows(
            loose.column("span_id"),
            loose.column("parent_span_id"),
            self.clock.to_ns(loose.column("ticks")),
            self.clock.to_ns(loose.column("end_ticks")),
            loose.column("scope"),
            np.zeros(len(loose), np.bool_),
            loose.attributes,
        )
        return Part(columns, np.arange(len(self.index.runs)), self.index.bounds, loose.scopes)

    def orphans(self) -> tuple[Int64s, Int64s]:
        return np.empty(0, np.int64), np.empty(0, np.int64)

    def _loose_in(self, runs: Int64s, bounds: Int64s) -> Bools:
        """Which rows of some runs are loose, given where those of each run begin."""
        known = self.runs_index.runs.take(runs)
        streams = np.repeat(self.index.runs.streams, np.diff(self.index.bounds))
        # Runs and loose spans in one order: each span is in the last run before it, if it is in any of these.
        order = np.lexsort(
            (
                np.concatenate((np.zeros(len(known)), np.ones(len(streams)))),
                np.concatenate((known.first, self.index.ordinals)),
                np.concatenate((known.streams, streams)),
            )
        )
        is_run = order < len(known)
        last_run = (np.cumsum(is_run) - 1)[~is_run]
        loose = order[~is_run] - len(known)
        in_order = order[is_run]
        places = in_order[np.maximum(last_run, 0)] if len(known) else np.zeros(0, np.int64)
        rows = self.index.ordinals[loose] - known.first[places]
        is_in = (
            (last_run >= 0)
            & (known.streams[places] == streams[loose])
            & (rows >= 0)
            & (self.index.ordinals[loose] < known.end[places])
        )
        result = np.zeros(bounds[-1], np.bool_)
        result[bounds[places[is_in]] + rows[is_in]] = True
        return result
