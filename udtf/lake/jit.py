"""JIT update: make the partition of a run when a query first needs it.

Partitions are built in any order, at most `max_builds` at once, each by one job that waits for no other. Two queries
that need the same partition share one build; two servers may both build it, and the metadata lets one of them win.
"""

import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from udtf.lake.ingestion import read_events
from udtf.lake.metadata import MetadataStore, PartitionRow, ProcessRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_store import Partition, PartitionStore
from udtf.lake.runs import Run
from udtf.lake.view_set import ViewSet
from udtf.metrics import Metrics, QueryTally


class JitUpdater:
    """Builds partitions for every query of this process."""

    def __init__(
        self,
        metadata: MetadataStore,
        objects: ObjectStore,
        partitions: PartitionStore,
        *,
        max_builds: int,
        metrics: Metrics,
    ) -> None:
        self._metadata = metadata
        self._objects = objects
        self._partitions = partitions
        self._builds = ThreadPoolExecutor(max_builds, thread_name_prefix="jit")
        self._fetches = ThreadPoolExecutor(max_builds, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._to_commit: list[tuple[Partition, Future[PartitionRow]]] = []
        self._under_way: dict[tuple[str, str, str], Future[Partition]] = {}
        metrics.builds_under_way.set_function(lambda: len(self._under_way))

    def build(self, view_set: ViewSet[Any], process: ProcessRow, run: Run, tally: QueryTally) -> Future[Partition]:
        """The partition of a run, once it is stored and visible. Whoever wants it first has it on their tally.

        The future raises CorruptData when a block of the run is lost or damaged.
        """
        key = (view_set.name, run.stream.stream_id, view_set.source_hash(run))
        with self._lock:
            under_way = self._under_way.get(key)
            if under_way is not None:
                return under_way
            future = self._under_way[key] = self._builds.submit(self._build, view_set, process, run, tally)
        # Without the lock: of a build that has failed by now, this thread is told at once.
        future.add_done_callback(lambda _: self._finished(key))
        return future

    def rebuild(
        self, lost: PartitionRow, view_set: ViewSet[Any], process: ProcessRow, run: Run, tally: QueryTally
    ) -> Partition:
        """A new partition in place of one whose file is gone or unreadable."""
        self._metadata.forget_partition(lost)
        self._partitions.delete([lost])
        return self.build(view_set, process, run, tally).result()

    def close(self) -> None:
        self._builds.shutdown(cancel_futures=True)
        self._fetches.shutdown(cancel_futures=True)

    def _finished(self, key: tuple[str, str, str]) -> None:
        with self._lock:
            self._under_way.pop(key, None)

    def _build(self, view_set: ViewSet[Any], process: ProcessRow, run: Run, tally: QueryTally) -> Partition:
        begin_s = tally.clock()
        stream = run.stream
        blocks = self._fetches.map(lambda block: read_events(self._objects, stream, block, tally), run.blocks)
        built = view_set.build(run, list(blocks), process.clock)
        partition_id = uuid.uuid4().hex
        instance_id = view_set.instance_id(stream)
        row = PartitionRow(
            partition_id=partition_id,
            view_set=view_set.name,
            instance_id=instance_id,
            process_id=process.process_id,
            stream_id=stream.stream_id,
            begin_offset=run.begin_offset,
            end_offset=run.end_offset,
            begin_time=run.begin_time,
            end_time=run.end_time,
            unmatched_ends=run.unmatched_ends,
            unmatched_begins=run.unmatched_begins,
            nb_rows=built.nb_rows,
            size_bytes=len(built.file),
            path=f"views/{view_set.name}/{instance_id}/{partition_id}.parquet",
            source_hash=view_set.source_hash(run),
            insert_time=time.time_ns(),
        )
        # The file first: a row never names one that is not finished.
        self._partitions.write(row.path, built.file)
        try:
            visible = self._commit(Partition(row, built.summary))
        except BaseException:
            self._partitions.delete([row])
            raise
        if visible.row.partition_id != row.partition_id:
            self._partitions.delete([row])
        tally.partition_built(view_set.name, tally.clock() - begin_s)
        return visible

    def _commit(self, partition: Partition) -> Partition:
        """Commit a partition together with all others that are ready when the database is; returns the visible one.

        The summary of another server's partition is the same: it was made from the same blocks.
        """
        outcome: Future[PartitionRow] = Future()
        with self._lock:
            self._to_commit.append((partition, outcome))
        with self._committing:
            with self._lock:
                ready, self._to_commit = self._to_commit, []
            if ready:
                self._commit_all(ready)
        return Partition(outcome.result(), partition.summary)

    def _commit_all(self, ready: list[tuple[Partition, Future[PartitionRow]]]) -> None:
        try:
            visible, replaced = self._metadata.commit_partitions(
                [(partition.row, partition.summary.encode()) for partition, _ in ready]
            )
        except Exception as error:
            for _, outcome in ready:
                outcome.set_exception(error)
            return
        for (_, outcome), row in zip(ready, visible, strict=True):
            outcome.set_result(row)
        self._partitions.delete(replaced)
