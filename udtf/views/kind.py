"""What a kind of telemetry says of itself. There is a module beside this one for each, and a line in `catalog.py`.

ingestion     `tag`, `column`, `event`, `check`: its streams, its columns, and what a valid event is
index         `loose`, `count_rows`: what of some events concerns others
partitions    `rows`, `build`: the rows that events make, known from these events alone
reading       `reader`: rows of partitions, completed by what lies outside of them
SQL           `columns`, `batch`: the columns of its view
trace         `tracer`: what Perfetto shows of it

Where events are complete in themselves, `moments.py` has all but the columns and the tracer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index, Runs
from udtf.lake.metadata import StreamRow
from udtf.lake.scopes import ScopeTable
from udtf.lake.time_range import TimeRange
from udtf.perfetto.writer import TraceWriter

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Piece = bytes | memoryview
"""Some whole packets of a trace."""


class Columns(Protocol):
    """Rows of a view as columns of equal length."""

    def __len__(self) -> int: ...

    def overlapping(self, time_range: TimeRange) -> Bools:
        """Which rows a time range shows."""

    def take(self, positions: Int64s) -> Any:
        """Some of the rows."""


C = TypeVar("C", bound=Columns)


@dataclass(frozen=True)
class Part(Generic[C]):
    """Rows of one partition, complete. Rows `bounds[i]` to `bounds[i + 1]` are of run `runs[i]` of the index that the
    reader was given; `scopes` are those that rows name by code."""

    columns: C
    runs: Int64s
    bounds: Int64s
    scopes: ScopeTable

    def select(self, wanted: Bools) -> "Part[C]":
        """Those rows that a mask selects."""
        if wanted.all():
            return self
        before = np.concatenate(([0], np.cumsum(wanted)))
        return Part(self.columns.take(np.flatnonzero(wanted)), self.runs, before[self.bounds], self.scopes)

    def of_runs(self, begin: int, end: int) -> "Part[C]":
        """The rows of some of its runs, the last not included."""
        first, last = int(self.bounds[begin]), int(self.bounds[end])
        columns = self.columns.take(np.arange(first, last))
        return Part(columns, self.runs[begin:end], self.bounds[begin : end + 1] - first, self.scopes)

    def row_runs(self) -> Int64s:
        """The run of each row."""
        return np.repeat(self.runs, np.diff(self.bounds))


def in_order(parts: Sequence[Part[C]]) -> list[Part[C]]:
    """The rows of parts by run; where the runs of one lie between those of others, it comes in pieces."""
    if not parts:
        return []
    places = [(int(run), number, i) for number, part in enumerate(parts) for i, run in enumerate(part.runs.tolist())]
    if places == sorted(places):
        return list(parts)
    pieces = []
    # Runs that are side by side in their part are in one piece: their positions grow as their order does.
    for (number, _), group in groupby(enumerate(sorted(places)), lambda item: (item[1][1], item[1][2] - item[0])):
        positions = [i for _, (_, _, i) in group]
        pieces.append(parts[number].of_runs(positions[0], positions[-1] + 1))
    return pieces


class Reader(ABC, Generic[C]):
    """Completes rows of partitions by what is known of all runs of a process."""

    @abstractmethod
    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> C:
        """Rows of a partition, those of its runs one after the other as `Part` has them."""

    @abstractmethod
    def outside(self, runs: Bools) -> Part[C]:
        """Rows made from the loose events of some runs alone, whose partitions are not read."""

    @abstractmethod
    def orphans(self) -> tuple[Int64s, Int64s]:
        """Events whose other half is nowhere, though it must have been there before: their streams and times, ns."""


class Tracer(Protocol):
    """Writes what one kind of telemetry of a process shows in a trace."""

    def write(self, parts: Sequence[Part[Any]], *, last: bool) -> Iterator[tuple[int, int, Piece]]:
        """The packets of the rows of some parts, stream by stream.

        Args:
            parts: nothing that comes later belongs before their rows, in its stream.
            last: whether these are the last ones.

        Returns:
            the stream (its place in the view), how many spans the piece stands for, the piece.
        """


class Kind(ABC):
    """A kind of telemetry."""

    name: str
    """Of its view set, as SQL has it."""
    instance_of: Literal["stream", "process"]
    """What an instance id of the view is the id of."""
    tag: str
    """Of its streams."""
    span_type: str | None = None
    """As which `span_types` selects it, if it has spans."""
    has_threads = False
    """Whether each of its streams is a thread, with a track of its own."""
    leads_elsewhere = False
    """Whether events of one process may concern spans of others."""
    column: str
    """Of `blocks` when they are sent: a list of events for each block."""
    event: pa.StructType
    """The fields of an event: `ticks` first; `scope`, if it has one, is dictionary-encoded."""
    rows: pa.Schema
    """Of a partition, which has a column of attributes besides if there are some. Rows of a run are in the order of its
    events; `scope` holds codes."""
    columns: pa.Schema
    """Of the view."""
    schema_version: int
    """Part of what makes a partition fresh: raise it when the same events make other rows."""
    keeps_block_ids = False
    """Whether its rows name the block of each event."""
    is_ordered = True
    """Whether ticks never decrease in a stream."""
    comes_by_begin = False
    """Whether windows have rows in the order of their begins, `begins_ns`, rather than in that of events."""

    @abstractmethod
    def check(self, events: Events, bounds: Int64s) -> None:
        """Look for what types do not exclude. Block b has the events from `bounds[b]` to `bounds[b + 1]`; ticks have
        been checked.

        Raises:
            InvalidEvent: one is wrong.
        """

    @abstractmethod
    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        """Which events have their other half outside of these runs: run r has the events from `bounds[r]` to
        `bounds[r + 1]`, and is of stream `streams[r]`. Runs are by stream and ordinal; between two of one stream events
        are missing, which may come later."""

    def extents(self, events: Events, bounds: Int64s) -> tuple[Int64s, Int64s]:
        """The first and the last tick of each run, none of which is empty."""
        ticks = events.column("ticks")
        if self.is_ordered:
            return ticks[bounds[:-1]], ticks[bounds[1:] - 1]
        return np.minimum.reduceat(ticks, bounds[:-1]), np.maximum.reduceat(ticks, bounds[:-1])

    def covered(self, events: Events, bounds: Int64s) -> tuple[Int64s, Int64s]:
        """The first and the last tick that each run covers, whichever of its events are loose."""
        return self.extents(events, bounds)

    def settle(self, events: Events, bounds: Int64s, runs: Runs) -> tuple[Bools, Runs]:
        """Which events are loose, of runs as `loose` has them, and the runs with all that they cover. A time range that
        touches none of this concerns loose events alone.
        """
        return self.loose(events, bounds, runs.streams), runs

    @abstractmethod
    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        """How many rows each run makes."""

    @abstractmethod
    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        """The rows of runs of events, given the ordinal of each event, and runs as `loose` has them."""

    @abstractmethod
    def reader(self, index: Index, clock: Clock) -> Reader[Any]:
        """A reader of the partitions of a process, given all of its runs, of which none is combined."""

    def recut_reader(self, reader: Reader[Any], index: Index, clock: Clock) -> Reader[Any]:
        """The same reader of the same events, whose runs are cut differently."""
        return self.reader(index, clock)

    @abstractmethod
    def batch(
        self, part: Part[Any], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        """Rows as the view shows them; `row_streams` are places in `streams`."""

    def spans(self, part: Part[Any]) -> Part[Any]:
        """The rows as `udtf.views.spans.Spans`, of a kind that has a `span_type`."""
        raise NotImplementedError(f"{self.name} has no spans")

    @abstractmethod
    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> Tracer:
        """What writes the packets of this kind."""
