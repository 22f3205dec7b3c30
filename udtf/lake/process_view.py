"""A view set over the streams of one process, for one time range: bring it up to date, then read it."""

import threading
from collections.abc import Iterable, Iterator, Sequence
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

SUMMARIES_AT_ONCE = 64
"""Partitions whose summaries are read in one statement: those of many streams, in little memory."""


@dataclass(frozen=True)
class StreamView(Generic[PlanT]):
    """One stream of a view."""

    stream: StreamRow
    plan: PlanT
    _view: "ProcessView[PlanT]"
    _position: int
    _builds: dict[int, Future[Partition]] = field(default_factory=dict)

    @property
    def start_time_ns(self) -> int:
        """Begin of its first event, or of the process where it has none."""
        return self.plan.runs[0].begin_time if self.plan.runs else self._view.process.start_time

    def fresh_rows(self) -> dict[int, PartitionRow]:
        """The fresh partitions that the time range needs, by index of their runs."""
        rows = ((index, self._view.fresh_row(self.plan.runs[index])) for index in self.plan.needed)
        return {index: row for index, row in rows if row is not None}

    def stale_runs(self) -> list[int]:
        """Indexes of the runs that the time range needs and that have no fresh partition."""
        fresh = self.fresh_rows()
        return [index for index in self.plan.needed if index not in fresh]

    def start_update(self) -> None:
        """Begin to build what is stale, and do not wait."""
        self._build(self.stale_runs())

    def finish_update(self) -> dict[int, Summary]:
        """Wait for what was begun; returns the summaries of the needed runs, by index, in order.

        Raises:
            CorruptData: a block of a needed run is lost or damaged.
        """
        self.start_update()
        summaries = self._view.take_summaries(self._position)
        # What has been retired since has none.
        self._build([index for index in self.plan.needed if index not in summaries])
        for index, build in self._builds.items():
            partition = build.result()
            self._view.add(partition.row)
            summaries[index] = partition.summary
        self._builds.clear()
        return {index: summaries[index] for index in self.plan.needed}

    def read(self, run: Run, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the partition of a run that is up to date, in pieces.

        A partition may be retired, or its file be lost, between planning and reading: it is built once more.
        """
        row = self._view.fresh_row(run)
        if row is None:
            raise ValueError(f"a run of stream {self.stream.stream_id} is read that is not up to date")
        read_rows = 0
        try:
            for batch in self._view.read(row, columns):
                yield batch
                read_rows += batch.num_rows
        except CorruptData:
            again = self._view.rebuild(row, run)
            # The same blocks give the same rows, so go on after those that are out already.
            for batch in self._view.read(again, columns):
                if read_rows < batch.num_rows:
                    yield batch.slice(read_rows)
                read_rows = max(0, read_rows - batch.num_rows)

    def _build(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            if index not in self._builds:
                self._builds[index] = self._view.build(self.plan.runs[index])


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
        runs = [plan.runs[index] for _, plan in plans for index in plan.needed]
        self._keeps_rows = store.keeps_rows(sum(run.end_offset - run.begin_offset for run in runs))
        needed = {self._key(run) for run in runs}
        by_key = {(row.stream_id, row.source_hash): row for row in rows}
        self._fresh = {key: row for key, row in by_key.items() if key in needed}
        self.streams = [StreamView(stream, plan, self, position) for position, (stream, plan) in enumerate(plans)]
        self._reading = threading.Lock()
        self._groups = _groups_of([len(plan.needed) for _, plan in plans])
        self._summaries_ahead: dict[int, dict[int, Summary]] = {}

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has to be built."""
        return not any(stream.stale_runs() for stream in self.streams)

    def start_update(self) -> None:
        """Begin to build everything that is stale, in the order of the streams."""
        for stream in self.streams:
            stream.start_update()

    def fresh_row(self, run: Run) -> PartitionRow | None:
        """The fresh partition of a run, if there is one."""
        return self._fresh.get(self._key(run))

    def add(self, row: PartitionRow) -> None:
        self._fresh[row.stream_id, row.source_hash] = row

    def take_summaries(self, position: int) -> dict[int, Summary]:
        """The summaries of the fresh partitions of a stream, by index of their runs. Those of its neighbours are read
        with them, and kept until they are taken, once."""
        with self._reading:
            if position not in self._summaries_ahead:
                self._read_summaries(self._groups[position])
            return self._summaries_ahead.pop(position)

    def _read_summaries(self, positions: Iterable[int]) -> None:
        for position in positions:
            self._groups[position] = range(position, position + 1)  # for whoever asks again
        rows_of = {position: self.streams[position].fresh_rows() for position in positions}
        summaries = self._store.summaries_of([row for rows in rows_of.values() for row in rows.values()], self._tally)
        for position, rows in rows_of.items():
            self._summaries_ahead[position] = {
                index: summaries[row.partition_id] for index, row in rows.items() if row.partition_id in summaries
            }

    def build(self, run: Run) -> Future[Partition]:
        return self._jit.build(self.view_set, self.process, run, self._tally)

    def rebuild(self, lost: PartitionRow, run: Run) -> PartitionRow:
        """A new partition of a run, in place of one that cannot be read."""
        row = self._jit.rebuild(lost, self.view_set, self.process, run, self._tally).row
        self.add(row)
        return row

    def read(self, row: PartitionRow, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a partition, in pieces; raises CorruptData when its file is missing or unreadable."""
        return self._store.read(row, columns, self._tally, keep=self._keeps_rows)

    def _key(self, run: Run) -> tuple[str, str]:
        return run.stream.stream_id, self.view_set.source_hash(run)


def _groups_of(sizes: Sequence[int]) -> list[range]:
    """For each stream its neighbours whose summaries are read at once, itself included, given how many each has."""
    groups: list[range] = []
    first, size = 0, 0
    for position, more in enumerate(sizes):
        if size and size + more > SUMMARIES_AT_ONCE:
            groups += [range(first, position)] * (position - first)
            first, size = position, 0
        size += more
    return groups + [range(first, len(sizes))] * (len(sizes) - first)
