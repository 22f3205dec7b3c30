"""What kinds of telemetry have in common whose events are moments: each says all there is to say of it.

None is loose, and a row of a partition is an event: its time, its scope, and what else the kind has. Some senders
deliver them late, so that those of a stream come in any order of their times.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import CorruptData, InvalidEvent
from udtf.lake import schemas
from udtf.lake.attributes import attributes_of, with_attributes
from udtf.lake.block_format import MAX_TEXT_BYTES
from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index
from udtf.lake.metadata import StreamRow
from udtf.lake.scopes import NO_SCOPES, ScopeTable
from udtf.lake.time_range import TimeRange
from udtf.views.kind import Bools, Int64s, Kind, Part, Reader
from udtf.views.spans import TEXT, nanoseconds, timestamps

ROW_FIELDS = [pa.field("time", schemas.TIMESTAMP, nullable=False), pa.field("scope", pa.int32(), nullable=False)]
"""What the rows of every such kind begin with."""

THREAD_FIELDS = [pa.field("stream_id", TEXT), pa.field("thread_name", TEXT)]
"""In SQL: the thread that an event is of; null if it is of the process as a whole."""


@dataclass(frozen=True)
class Moments:
    """Some events as the rows of their kind."""

    rows: pa.RecordBatch
    times_ns: Int64s

    def __len__(self) -> int:
        return len(self.times_ns)

    def overlapping(self, time_range: TimeRange) -> Bools:
        return (self.times_ns >= time_range.begin_ns) & (self.times_ns <= time_range.end_ns)

    def take(self, positions: Int64s) -> "Moments":
        return Moments(self.rows.take(pa.array(positions)), self.times_ns[positions])

    @property
    def scopes(self) -> npt.NDArray[np.int32]:
        """Codes of their scopes."""
        return np.asarray(self.rows.column("scope").to_numpy())

    @property
    def attributes(self) -> pa.BinaryArray | None:
        """None if there are none, or they were not asked for."""
        return attributes_of(self.rows)


class MomentKind(Kind):
    """Such a kind of telemetry of a process."""

    instance_of = "process"
    is_ordered = False

    @abstractmethod
    def values(self, events: Events, clock: Clock) -> list[pa.Array]:
        """The columns of `rows` after those that all kinds have."""

    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        return np.zeros(len(events), np.bool_)

    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        counts: Int64s = np.diff(bounds)
        return counts

    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        times = timestamps(clock.to_ns(events.column("ticks")))
        columns = [times, events.rows.column("scope"), *self.values(events, clock)]
        return with_attributes(pa.record_batch(columns, schema=self.rows), events.attributes)

    def reader(self, index: Index, clock: Clock) -> "MomentReader":
        return MomentReader(self.rows)


@dataclass(frozen=True)
class MomentReader(Reader[Moments]):
    """There is nothing to complete."""

    schema: pa.Schema

    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> Moments:
        if rows.num_rows != bounds[-1]:
            raise CorruptData(f"a partition has {rows.num_rows} rows, expected {bounds[-1]}")
        return Moments(rows, nanoseconds(rows.column("time")))

    def outside(self, runs: Bools) -> Part[Moments]:
        wanted = np.flatnonzero(runs)
        nothing = Moments(pa.RecordBatch.from_pylist([], self.schema), np.empty(0, np.int64))
        return Part(nothing, wanted, np.zeros(len(wanted) + 1, np.int64), NO_SCOPES)

    def orphans(self) -> tuple[Int64s, Int64s]:
        return np.empty(0, np.int64), np.empty(0, np.int64)


def thread_columns(streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]) -> list[pa.Array]:
    """The columns of `THREAD_FIELDS` for rows of these streams."""
    is_of_none = np.array([stream.thread_stream_id is None for stream in streams], np.bool_)
    codes = pa.array(row_streams, mask=is_of_none[row_streams])
    thread_ids = [stream.thread_stream_id or "" for stream in streams]
    names = [stream.thread_name for stream in streams]
    return [pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.utf8())) for texts in (thread_ids, names)]


def check_text(events: Events, name: str) -> None:
    """Raises InvalidEvent if a text is longer than `MAX_TEXT_BYTES`."""
    sizes = np.asarray(pa.compute.binary_length(events.rows.column(name)).to_numpy())
    if np.any(sizes > MAX_TEXT_BYTES):
        wrong = int(np.argmax(sizes > MAX_TEXT_BYTES))
        raise InvalidEvent(wrong, f"column {name!r} has {sizes[wrong]} bytes", f"at most {MAX_TEXT_BYTES}")
