"""A view set over the streams of one process, for one time range: bring it up to date, then read it."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic

import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.jit import JitUpdater
from udtf.lake.metadata import PartitionRow, ProcessRow, StreamRow
from udtf.lake.partition_file import Summary
from udtf.lake.partition_store import PartitionStore
from udtf.lake.runs import Run
from udtf.lake.view_set import PlanT, ViewSet


@dataclass(frozen=True)
class StreamView(Generic[PlanT]):
    """One stream of a view."""

    stream: StreamRow
    plan: PlanT
    _view: "ProcessView[PlanT]"
    _builds: dict[int, Future[PartitionRow]] = field(default_factory=dict)

    def stale_runs(self) -> list[int]:
        """Indexes of the runs that the time range needs and that have no fresh partition."""
        return [index for index in self.plan.needed if self._view.row_of(self.plan.runs[index]) is None]

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
            self._view.add_row(build.result())
        self._builds.clear()
        return {
            index: Summary.decode(self._view.fresh_row(self.plan.runs[index]).summary) for index in self.plan.needed
        }

    def read(self, run: Run, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the partition of a run that is up to date, in pieces.

        A partition may be retired, or its file be lost, between planning and reading: it is built once more.
        """
        row = self._view.fresh_row(run)
        read_rows = 0
        try:
            for batch in self._view.partitions.read(row, columns):
                yield batch
                read_rows += batch.num_rows
        except CorruptData:
            again = self._view.rebuild(row, run)
            # The same blocks give the same rows, so go on after those that are out already.
            rows = pa.Table.from_batches(self._view.partitions.read(again, columns))
            yield from rows.slice(read_rows).to_batches()


class ProcessView(Generic[PlanT]):
    """The streams of a process, with the partitions that exist as of planning, keyed by (stream, source hash)."""

    def __init__(
        self,
        view_set: ViewSet[PlanT],
        process: ProcessRow,
        plans: Sequence[tuple[StreamRow, PlanT]],
        rows: Mapping[tuple[str, str], PartitionRow],
        jit: JitUpdater,
        partitions: PartitionStore,
    ) -> None:
        self.view_set = view_set
        self.process = process
        self.partitions = partitions
        self._rows = dict(rows)
        self._jit = jit
        self.streams = [StreamView(stream, plan, self) for stream, plan in plans]

    def start_update(self) -> None:
        """Begin to build everything that is stale, in the order of the streams."""
        for stream in self.streams:
            stream.start_update()

    def row_of(self, run: Run) -> PartitionRow | None:
        """The fresh partition of a run, if there is one."""
        return self._rows.get(self._key(run))

    def fresh_row(self, run: Run) -> PartitionRow:
        """The partition of a run that is up to date."""
        return self._rows[self._key(run)]

    def add_row(self, row: PartitionRow) -> None:
        self._rows[row.stream_id, row.source_hash] = row

    def build(self, run: Run) -> Future[PartitionRow]:
        return self._jit.build(self.view_set, self.process, run)

    def rebuild(self, lost: PartitionRow, run: Run) -> PartitionRow:
        """A new partition of a run, in place of one that cannot be read."""
        row = self._jit.rebuild(lost, self.view_set, self.process, run)
        self.add_row(row)
        return row

    def _key(self, run: Run) -> tuple[str, str]:
        return run.stream.stream_id, self.view_set.source_hash(run)
