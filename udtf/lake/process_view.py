"""A view set over the streams of one process, for one time range: bring it up to date, then read it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic

import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.jit import JitUpdater
from udtf.lake.metadata import PartitionRow, ProcessRow, StreamRow
from udtf.lake.partition_file import Summary
from udtf.lake.partition_store import Partition, PartitionStore
from udtf.lake.runs import Run
from udtf.lake.view_set import PlanT, ViewSet
from udtf.metrics import QueryTally


@dataclass(frozen=True)
class StreamView(Generic[PlanT]):
    """One stream of a view."""

    stream: StreamRow
    plan: PlanT
    _view: "ProcessView[PlanT]"
    _builds: dict[int, Future[Partition]] = field(default_factory=dict)

    def stale_runs(self) -> list[int]:
        """Indexes of the runs that the time range needs and that have no fresh partition."""
        return [index for index in self.plan.needed if self._view.partition_of(self.plan.runs[index]) is None]

    def start_update(self) -> None:
        """Begin to build what is stale, and do not wait."""
        for index in self.stale_runs():
            if index not in self._builds:
                self._builds[index] = self._view.build(self.plan.runs[index])

    def finish_update(self) -> dict[int, Summary]:
        """Wait for what was begun; returns the summaries of the needed runs, by index.

        Raises:
            CorruptData: a block of a needed run is lost or damaged.
        """
        self.start_update()
        for build in self._builds.values():
            self._view.add(build.result())
        self._builds.clear()
        return {index: self._view.fresh_partition(self.plan.runs[index]).summary for index in self.plan.needed}

    def read(self, run: Run, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the partition of a run that is up to date, in pieces.

        A partition may be retired, or its file be lost, between planning and reading: it is built once more.
        """
        row = self._view.fresh_partition(run).row
        read_rows = 0
        try:
            for batch in self._view.read(row, columns):
                yield batch
                read_rows += batch.num_rows
        except CorruptData:
            again = self._view.rebuild(row, run)
            # The same blocks give the same rows, so go on after those that are out already.
            rows = pa.Table.from_batches(self._view.read(again.row, columns))
            yield from rows.slice(read_rows).to_batches()


class ProcessView(Generic[PlanT]):
    """The streams of a process, with those of their partitions that are fresh."""

    def __init__(
        self,
        view_set: ViewSet[PlanT],
        process: ProcessRow,
        plans: Sequence[tuple[StreamRow, PlanT]],
        rows: Sequence[PartitionRow],
        jit: JitUpdater,
        store: PartitionStore,
        tally: QueryTally,
    ) -> None:
        self.view_set = view_set
        self.process = process
        self._store = store
        self._tally = tally
        self._jit = jit
        self._fresh: dict[tuple[str, str], Partition] = {}
        needed = {self._key(plan.runs[index]) for _, plan in plans for index in plan.needed}
        fresh_rows = [row for row in rows if (row.stream_id, row.source_hash) in needed]
        for partition in store.with_summaries(fresh_rows, tally):
            self.add(partition)
        self.streams = [StreamView(stream, plan, self) for stream, plan in plans]

    def start_update(self) -> None:
        """Begin to build everything that is stale, in the order of the streams."""
        for stream in self.streams:
            stream.start_update()

    def partition_of(self, run: Run) -> Partition | None:
        """The fresh partition of a run, if there is one."""
        return self._fresh.get(self._key(run))

    def fresh_partition(self, run: Run) -> Partition:
        """The partition of a run that is up to date."""
        return self._fresh[self._key(run)]

    def add(self, partition: Partition) -> None:
        self._fresh[partition.row.stream_id, partition.row.source_hash] = partition

    def build(self, run: Run) -> Future[Partition]:
        return self._jit.build(self.view_set, self.process, run, self._tally)

    def rebuild(self, lost: PartitionRow, run: Run) -> Partition:
        """A new partition of a run, in place of one that cannot be read."""
        partition = self._jit.rebuild(lost, self.view_set, self.process, run, self._tally)
        self.add(partition)
        return partition

    def read(self, row: PartitionRow, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a partition, in pieces; raises CorruptData when its file is missing or unreadable."""
        return self._store.read(row, columns, self._tally)

    def _key(self, run: Run) -> tuple[str, str]:
        return run.stream.stream_id, self.view_set.source_hash(run)
