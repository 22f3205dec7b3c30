"""View set `async_events`: begin and end events of spans that may overlap, matched by span id.

A partition holds one row for each event, and with it the time and ordinal of its other half where that is in the same
run. A reader fills in the few that lie in others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import CorruptData, InvalidEvent
from udtf.lake import schemas
from udtf.lake.attributes import attributes_of, with_attributes
from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index
from udtf.lake.matching import BEGIN, OPEN, match_by_id
from udtf.lake.metadata import StreamRow
from udtf.lake.ranges import ranges
from udtf.lake.scopes import ScopeTable
from udtf.lake.time_range import TimeRange
from udtf.perfetto.async_spans import AsyncTracer
from udtf.perfetto.writer import TraceWriter
from udtf.views.attributes import attributes_of_spans, completed
from udtf.views.kind import Bools, Int64s, Kind, Part, Reader
from udtf.views.spans import (
    PROPERTIES,
    SCOPE_FIELDS,
    TEXT,
    Spans,
    nanoseconds,
    properties_column,
    scope_columns,
    taken,
    timestamps,
)
from udtf.views.thread_spans import check_kinds

MAX_DEPTH = int(np.iinfo(np.int32).max)
"""Most ancestors of a span."""

_EVENT_TYPES = pa.array(["begin", "end"])


class AsyncEvents(Kind):
    """See the module."""

    name = "async_events"
    instance_of = "process"
    tag = schemas.ASYNC_TAG
    span_type = "async"
    column = "async_events"
    event = schemas.ASYNC_EVENT
    rows = pa.schema(
        [
            pa.field("event_id", pa.int64(), nullable=False),
            pa.field("time", schemas.TIMESTAMP, nullable=False),
            pa.field("is_begin", pa.bool_(), nullable=False),
            pa.field("span_id", pa.int64(), nullable=False),
            pa.field("parent_span_id", pa.int64(), nullable=False),
            pa.field("depth", pa.int32(), nullable=False),
            pa.field("scope", pa.int32(), nullable=False),
            pa.field("other_event_id", pa.int64()),
            pa.field("other_time", schemas.TIMESTAMP),
            pa.field("block_id", TEXT, nullable=False),
        ]
    )
    columns = pa.schema(
        [
            pa.field("stream_id", TEXT, nullable=False),
            pa.field("block_id", TEXT, nullable=False),
            pa.field("time", schemas.TIMESTAMP, nullable=False),
            pa.field("event_type", TEXT, nullable=False),
            pa.field("span_id", pa.int64(), nullable=False),
            pa.field("parent_span_id", pa.int64(), nullable=False),
            pa.field("depth", pa.int64(), nullable=False),
            *SCOPE_FIELDS[:2],
            SCOPE_FIELDS[3],
            SCOPE_FIELDS[2],
            SCOPE_FIELDS[4],
            PROPERTIES,
        ]
    )
    schema_version = 3
    keeps_block_ids = True

    def check(self, events: Events, bounds: Int64s) -> None:
        check_kinds(events)
        span_ids = events.column("span_id")
        if np.any(span_ids <= 0):
            wrong = int(np.argmax(span_ids <= 0))
            raise InvalidEvent(wrong, f"column 'span_id' is {span_ids[wrong]}", "more than 0")
        depths = events.column("depth")
        if np.any(depths > MAX_DEPTH):
            wrong = int(np.argmax(depths > MAX_DEPTH))
            raise InvalidEvent(wrong, f"column 'depth' is {depths[wrong]}", f"at most {MAX_DEPTH}")
        # By block and id, in the order of events: each id has a begin and then an end, or one of them.
        blocks = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        order = np.lexsort((span_ids, blocks))
        ids, of_block, begins = span_ids[order], blocks[order], events.column("kind")[order] == BEGIN
        again = (ids[1:] == ids[:-1]) & (of_block[1:] == of_block[:-1])
        twice = again & (begins[1:] == begins[:-1])
        twice[1:] |= again[1:] & again[:-1]
        backwards = again & ~begins[:-1] & begins[1:]
        for is_wrong, found, expected in (
            (twice, "begins or ends twice", "each span_id once in a block"),
            (backwards, "ends before it begins", "its begin first"),
        ):
            if np.any(is_wrong):
                wrong = int(order[1:][np.argmax(is_wrong)])
                raise InvalidEvent(wrong, f"async span {span_ids[wrong]} {found}", expected)

    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        return _pair(events, bounds, streams) < 0

    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        counts: Int64s = np.diff(bounds)
        return counts

    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        times_ns = clock.to_ns(events.column("ticks"))
        others = _pair(events, bounds, streams)
        unpaired = others < 0
        rows = pa.record_batch(
            [
                pa.array(ordinals),
                timestamps(times_ns),
                pa.array(events.column("kind") == BEGIN),
                events.rows.column("span_id"),
                events.rows.column("parent_span_id"),
                events.rows.column("depth").cast(pa.int32()),
                events.rows.column("scope"),
                pa.array(ordinals[others], mask=unpaired),
                timestamps(times_ns[others], mask=unpaired),
                events.rows.column("block_id").cast(TEXT),
            ],
            schema=self.rows,
        )
        return with_attributes(rows, _of_begins(events.attributes, events.column("kind") == BEGIN, others))

    def reader(self, index: Index, clock: Clock) -> "AsyncReader":
        return AsyncReader.of(index, clock)

    def batch(
        self, part: "Part[AsyncRows]", streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        rows = part.columns
        scope_hash, name, target, filename, line = scope_columns(part.scopes, rows.scopes)
        return pa.record_batch(
            [
                pa.DictionaryArray.from_arrays(
                    pa.array(row_streams), pa.array([stream.stream_id for stream in streams], pa.utf8())
                ),
                rows.block_ids,
                timestamps(rows.times_ns),
                pa.DictionaryArray.from_arrays(pa.array((~rows.is_begin).astype(np.int32)), _EVENT_TYPES),
                pa.array(rows.span_ids),
                pa.array(rows.parent_span_ids),
                pa.array(rows.depths.astype(np.int64)),
                scope_hash,
                name,
                filename,
                target,
                line,
                properties_column(rows.attributes, len(rows)),
            ],
            schema=self.columns,
        )

    def spans(self, part: "Part[AsyncRows]") -> Part[Spans]:
        begins = part.select(part.columns.is_begin)
        return Part(begins.columns.spans(), begins.runs, begins.bounds, begins.scopes)

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> AsyncTracer:
        return AsyncTracer(writer, [stream.stream_id for stream in streams], index.runs.streams)


@dataclass(frozen=True)
class AsyncRows:
    """Some events of async streams as columns of equal length.

    `event_ids` are ordinals in the stream. `other_*` belong to the end of a begin (`OPEN` if the span has not ended)
    and to the begin of an end (`OPEN` if there is none). A begin has the attributes of its span, an end those that were
    noted with it; None if there are none, or they were not asked for.
    """

    event_ids: Int64s
    times_ns: Int64s
    is_begin: Bools
    span_ids: Int64s
    parent_span_ids: Int64s
    depths: npt.NDArray[np.int32]
    scopes: npt.NDArray[np.int32]
    other_event_ids: Int64s
    other_times_ns: Int64s
    block_ids: pa.DictionaryArray
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.event_ids)

    def overlapping(self, time_range: TimeRange) -> Bools:
        """An end without a begin belongs to no span."""
        begins_ns = np.where(self.is_begin, self.times_ns, self.other_times_ns)
        ends_ns = np.where(self.is_begin, self.other_times_ns, self.times_ns)
        orphans = ~self.is_begin & (self.other_event_ids == OPEN)
        overlapping: Bools = (begins_ns <= time_range.end_ns) & (ends_ns >= time_range.begin_ns) & ~orphans
        return overlapping

    def take(self, positions: Int64s) -> "AsyncRows":
        return AsyncRows(*taken(self, positions))

    def spans(self) -> Spans:
        """As spans; every row must be a begin."""
        return Spans(
            self.span_ids,
            self.parent_span_ids,
            self.depths,
            self.times_ns,
            self.other_times_ns,
            self.scopes,
            self.attributes,
        )


@dataclass(frozen=True)
class AsyncReader(Reader[AsyncRows]):
    """Completes the events of async streams. `others` are positions of other halves among the loose events, or -1."""

    index: Index
    is_begin: Bools
    times_ns: Int64s
    others: Int64s

    @classmethod
    def of(cls, index: Index, clock: Clock) -> "AsyncReader":
        times_ns = clock.to_ns(index.loose.column("ticks"))
        others = _pair(index.loose, index.bounds, index.runs.streams)
        return cls(index, index.loose.column("kind") == BEGIN, times_ns, others)

    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> AsyncRows:
        if rows.num_rows != bounds[-1]:
            raise CorruptData(f"a partition has {rows.num_rows} rows, expected {bounds[-1]}")
        event_ids = nanoseconds(rows.column("event_id"))
        other_ids = nanoseconds(rows.column("other_event_id")).copy()
        other_times_ns = nanoseconds(rows.column("other_time")).copy()
        unpaired = np.flatnonzero(other_ids == OPEN)
        # The loose events of each run are its unpaired rows, in the same order; those that a larger stretch has paired
        # are paired in the rows as well.
        loose = ranges(self.index.bounds[runs], np.diff(self.index.bounds)[runs])
        if len(loose) != len(unpaired) or not np.array_equal(self.index.ordinals[loose], event_ids[unpaired]):
            raise CorruptData("the unpaired events of a partition are not those of its index")
        others = self.others[loose]
        is_begin = rows.column("is_begin").to_numpy(zero_copy_only=False)
        begins = is_begin[unpaired]
        attributes = completed(attributes_of(rows), len(rows), unpaired[begins], self.index.loose, others[begins])
        unpaired, others = unpaired[others >= 0], others[others >= 0]
        other_ids[unpaired] = self.index.ordinals[others]
        other_times_ns[unpaired] = self.times_ns[others]
        return AsyncRows(
            event_ids,
            nanoseconds(rows.column("time")),
            is_begin,
            nanoseconds(rows.column("span_id")),
            nanoseconds(rows.column("parent_span_id")),
            rows.column("depth").to_numpy(),
            rows.column("scope").to_numpy(),
            other_ids,
            other_times_ns,
            rows.column("block_id"),
            attributes,
        )

    def outside(self, runs: Bools) -> Part[AsyncRows]:
        wanted = np.flatnonzero(runs)
        positions = np.flatnonzero(np.repeat(runs, np.diff(self.index.bounds)))
        loose, others = self.index.loose.take(positions), self.others[positions]
        attributes = _of_begins(self.index.loose.attributes, self.is_begin, self.others)
        columns = AsyncRows(
            self.index.ordinals[positions],
            self.times_ns[positions],
            self.is_begin[positions],
            nanoseconds(loose.rows.column("span_id")),
            nanoseconds(loose.rows.column("parent_span_id")),
            loose.column("depth").astype(np.int32),
            loose.column("scope"),
            np.where(others >= 0, self.index.ordinals[others], OPEN),
            np.where(others >= 0, self.times_ns[others], OPEN),
            loose.rows.column("block_id").cast(TEXT),
            None if attributes is None else attributes.take(pa.array(positions)),
        )
        bounds = np.append(np.searchsorted(positions, self.index.bounds[wanted]), len(positions))
        return Part(columns, wanted, bounds, loose.scopes)

    def orphans(self) -> tuple[Int64s, Int64s]:
        orphans = np.flatnonzero(~self.is_begin & (self.others < 0))
        runs = np.searchsorted(self.index.bounds, orphans, side="right") - 1
        return self.index.runs.streams[runs].astype(np.int64), self.times_ns[orphans]


def _of_begins(attributes: pa.BinaryArray | None, is_begin: Bools, others: Int64s) -> pa.BinaryArray | None:
    """The attributes of events: a begin has those of its end as well."""
    if attributes is None:
        return None
    return attributes_of_spans(attributes, np.arange(len(others)), np.where(is_begin, others, -1))


def _pair(events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Int64s:
    """For each event of some runs the position of its other half, in the same stream: the end that follows a begin, the
    begin that an end follows; or -1."""
    span_ids, is_begin = events.column("span_id"), events.column("kind") == BEGIN
    of_stream = np.repeat(streams, np.diff(bounds))
    order = np.lexsort((span_ids, of_stream))
    ids, ordered_streams = span_ids[order], of_stream[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (ids[1:] != ids[:-1]) | (ordered_streams[1:] != ordered_streams[:-1])
    others: Int64s = match_by_id(order, starts, is_begin)
    return others
