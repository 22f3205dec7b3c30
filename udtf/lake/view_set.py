"""What every view set says of itself: how a partition is made, and what a time range needs of a stream."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import pyarrow as pa

from udtf.lake.block_format import Events
from udtf.lake.clock import Clock
from udtf.lake.metadata import StreamRow
from udtf.lake.partition_file import Summary
from udtf.lake.runs import Run
from udtf.time_range import TimeRange

ReadPartition = Callable[[Run, Sequence[str]], Iterator[pa.RecordBatch]]
"""Rows of the partition of a run, in pieces: the columns named."""


@dataclass(frozen=True)
class BuiltPartition:
    """A partition that is ready to be stored."""

    file: bytes
    summary: Summary
    nb_rows: int


class StreamPlan(Protocol):
    """What a time range needs of one stream, known before any of its blocks is read."""

    @property
    def runs(self) -> Sequence[Run]:
        """All runs of the stream."""

    @property
    def needed(self) -> list[int]:
        """Indexes, ascending, of the runs whose partitions the time range needs."""

    def orphan_ends(self, summaries: Mapping[int, Summary]) -> int:
        """Ends in the range that close nothing, given the summaries of the `needed` runs, by index."""


PlanT = TypeVar("PlanT", bound=StreamPlan)


class ViewSet(ABC, Generic[PlanT]):
    """A kind of view that exists once per stream or once per process."""

    name: str
    """As SQL names it."""
    instance_of: Literal["stream", "process"]
    """What an instance id is the id of."""
    stream_tag: str
    """Tag of the streams that it shows."""
    schema_version: int
    """Part of what makes a partition fresh: raise it when the same blocks give another file."""

    @abstractmethod
    def build(self, run: Run, blocks: Sequence[Events], clock: Clock) -> BuiltPartition:
        """Make the partition of a run from the events of its blocks."""

    @abstractmethod
    def plan(self, runs: Sequence[Run], time_range: TimeRange) -> PlanT:
        """What a time range needs of a stream with these runs."""

    def instance_id(self, stream: StreamRow) -> str:
        """Which instance a stream belongs to."""
        return stream.stream_id if self.instance_of == "stream" else stream.process_id

    def source_hash(self, run: Run) -> str:
        """What the partition of a run must have been made from to be fresh."""
        return f"{self.schema_version}-{run.content_hash}"
