"""View set `thread_spans`: the spans of threads, which nest as calls do.

A partition tells what its own runs of events tell: depth counted from the start of the run, no end that lies in another
run. A reader completes that from the loose events of all runs: which spans were open when a run started, and where a
span that a run left open has ended.
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
from udtf.lake.matching import BEGIN, END, NONE, OPEN, complete_nested, match_loose, match_nested
from udtf.lake.metadata import StreamRow
from udtf.lake.ranges import ranges
from udtf.lake.scopes import ScopeTable
from udtf.perfetto.threads import ThreadTracer
from udtf.perfetto.writer import TraceWriter
from udtf.views.attributes import attributes_of_spans, completed
from udtf.views.kind import Bools, Int64s, Kind, Part, Reader
from udtf.views.spans import SPAN_COLUMNS, Spans, nanoseconds, span_batch, timestamps
from udtf.views.tracks import thread_track


class ThreadSpans(Kind):
    """See the module."""

    name = "thread_spans"
    instance_of = "stream"
    tag = schemas.THREAD_TAG
    span_type = "thread"
    has_threads = True
    column = "thread_events"
    event = schemas.THREAD_EVENT
    rows = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("depth", pa.int32(), nullable=False),
            pa.field("begin", schemas.TIMESTAMP, nullable=False),
            pa.field("end", schemas.TIMESTAMP),
            pa.field("scope", pa.int32(), nullable=False),
        ]
    )
    columns = SPAN_COLUMNS
    schema_version = 3

    def check(self, events: Events, bounds: Int64s) -> None:
        check_kinds(events)

    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        other, *_ = match_loose(events.column("kind"), bounds, np.zeros(len(bounds) - 1, np.bool_))
        loose: Bools = other < 0
        return loose

    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        begun = np.concatenate(([0], np.cumsum(events.column("kind") == BEGIN)))
        counts: Int64s = np.diff(begun[bounds])
        return counts

    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        begins, ends, depths = match_nested(events.column("kind"), bounds)
        times_ns = clock.to_ns(events.column("ticks"))
        rows = pa.record_batch(
            [
                pa.array(ordinals[begins]),
                pa.array(depths),
                timestamps(times_ns[begins]),
                timestamps(times_ns[ends], mask=ends < 0),
                pa.array(events.column("scope")[begins]),
            ],
            schema=self.rows,
        )
        return with_attributes(rows, attributes_of_spans(events.attributes, begins, ends))

    def reader(self, index: Index, clock: Clock) -> "ThreadReader":
        return ThreadReader.of(index, clock)

    def batch(
        self, part: Part[Spans], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        return span_batch(part.columns, part.scopes)

    def spans(self, part: Part[Spans]) -> Part[Spans]:
        return part

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> ThreadTracer:
        return ThreadTracer(writer, [thread_track(stream) for stream in streams], index.runs.streams)


@dataclass(frozen=True)
class ThreadReader(Reader[Spans]):
    """Completes the spans of threads.

    Of each loose event: its time; the end of the span that a begin opens, `OPEN` if there is none; the event of the
    begin around it; its depth.
    """

    index: Index
    kinds: npt.NDArray[np.uint8]
    times_ns: Int64s
    ends_ns: Int64s
    other: Int64s
    around: Int64s
    depths: npt.NDArray[np.int32]
    start_depth: npt.NDArray[np.int32]
    start_top: Int64s

    @classmethod
    def of(cls, index: Index, clock: Clock) -> "ThreadReader":
        kinds = index.loose.column("kind")
        other, around, depths, start_depth, start_top = match_loose(kinds, index.bounds, index.runs.follow())
        times_ns = clock.to_ns(index.loose.column("ticks"))
        ends_ns = np.where(other >= 0, times_ns[other], OPEN)
        return cls(index, kinds, times_ns, ends_ns, other, around, depths, start_depth, start_top)

    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> Spans:
        if rows.num_rows != bounds[-1]:
            raise CorruptData(f"a partition has {rows.num_rows} rows, expected {bounds[-1]}")
        ids = nanoseconds(rows.column("id"))
        ends = rows.column("end")
        validity, values = ends.buffers()
        depths, ends_ns, parents = complete_nested(
            ids,
            rows.column("depth").to_numpy(),
            np.asarray(pa.Array.from_buffers(pa.int64(), len(ends), [None, values], offset=ends.offset)),
            np.frombuffer(validity or b"", np.uint8),
            ends.offset,
            bounds,
            runs,
            self.index.ordinals,
            self.kinds,
            self.index.bounds,
            self.ends_ns,
            self.around,
            self.start_depth,
            self.start_top,
        )
        begins_ns = nanoseconds(rows.column("begin"))
        attributes = self._attributes(rows, runs)
        return Spans(ids, parents, depths, begins_ns, ends_ns, rows.column("scope").to_numpy(), attributes)

    def _attributes(self, rows: pa.RecordBatch, runs: Int64s) -> pa.BinaryArray | None:
        """Of the spans of a partition: what it knows, and what was noted at ends that lie in other runs."""
        if self.index.loose.attributes is None:
            return attributes_of(rows)
        # The loose begins of each run are its unfinished rows, in the same order.
        loose = ranges(self.index.bounds[runs], np.diff(self.index.bounds)[runs])
        begins = loose[self.kinds[loose] == BEGIN]
        unfinished = np.flatnonzero(np.asarray(rows.column("end").is_null()))
        return completed(attributes_of(rows), len(rows), unfinished, self.index.loose, self.other[begins])

    def outside(self, runs: Bools) -> Part[Spans]:
        is_row = self.kinds == BEGIN
        positions = np.flatnonzero(is_row & np.repeat(runs, np.diff(self.index.bounds)))
        around = self.around[positions]
        columns = Spans(
            self.index.ordinals[positions],
            np.where(around >= 0, self.index.ordinals[around], NONE),
            self.depths[positions],
            self.times_ns[positions],
            self.ends_ns[positions],
            self.index.loose.column("scope")[positions],
            attributes_of_spans(self.index.loose.attributes, positions, self.other[positions]),
        )
        wanted = np.flatnonzero(runs)
        bounds = np.append(np.searchsorted(positions, self.index.bounds[wanted]), len(positions))
        return Part(columns, wanted, bounds, self.index.loose.scopes)

    def orphans(self) -> tuple[Int64s, Int64s]:
        orphans = np.flatnonzero((self.kinds == END) & (self.other < 0))
        runs = np.searchsorted(self.index.bounds, orphans, side="right") - 1
        return self.index.runs.streams[runs].astype(np.int64), self.times_ns[orphans]


def check_kinds(events: Events) -> None:
    """Raises InvalidEvent if an event is neither a begin nor an end."""
    kinds = events.column("kind")
    if np.any(kinds > END):
        wrong = int(np.argmax(kinds > END))
        raise InvalidEvent(wrong, f"column 'kind' is {kinds[wrong]}", "0 (begin) or 1 (end)")
