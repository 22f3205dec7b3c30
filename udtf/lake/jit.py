"""JIT update: make the partition of a stretch when a query first needs it.

A partition is made from the events of its stretch alone, so it never becomes outdated. Two queries that need the same
one share one build; two servers may both build it, and the metadata lets one of them win. One that cannot be stored is
used all the same, and made again the next time. Builds may be done elsewhere; where that fails, they are done here.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from udtf.errors import StoreFull, StoreRefused, StoreUnavailable
from udtf.execution.elsewhere import NotDone
from udtf.lake.builds import Builder, Built, source_hash
from udtf.lake.group_commit import GroupCommit
from udtf.lake.history import Stretch, StretchKey
from udtf.lake.metadata import HistoryRow, MetadataStore, PartitionRow, ProcessRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_store import PartitionStore
from udtf.observability.metrics import Metrics, QueryTally
from udtf.views.kind import Kind

log = logging.getLogger(__name__)

BuildElsewhere = Callable[[Kind, ProcessRow, HistoryRow, Stretch], PartitionRow]
"""Has the file of a partition made by another process; raises NotDone."""


class JitUpdater:
    """Builds partitions for every query of this server."""

    def __init__(
        self,
        builder: Builder,
        metadata: MetadataStore,
        objects: ObjectStore,
        partitions: PartitionStore,
        *,
        max_builds: int,
        metrics: Metrics,
        elsewhere: BuildElsewhere | None = None,
    ) -> None:
        self._builder = builder
        self._metadata = metadata
        self._objects = objects
        self._partitions = partitions
        self._elsewhere = elsewhere
        self._slots = threading.BoundedSemaphore(max_builds)
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str, StretchKey, str, bool], Future[Built | PartitionRow]] = {}
        self._commit = GroupCommit[PartitionRow, PartitionRow](
            lambda rows: self._metadata.partitions.commit(rows, time.time_ns())
        )
        metrics.builds_under_way.set_function(lambda: len(self._under_way))

    def build(
        self,
        kind: Kind,
        process: ProcessRow,
        history: HistoryRow,
        stretch: Stretch,
        tally: QueryTally,
        *,
        here: bool = False,
    ) -> Built | PartitionRow:
        """The partition of a stretch, which is stored and visible then, if it can be: what is in it if it was built
        here, as `here` demands, or else the row to read it by.

        Raises:
            CorruptData: a segment of the stretch is lost or damaged.
            Removed: a segment has been removed meanwhile.
        """
        # Of the stretch as well: threads that do the same at the same time have segments of the same content.
        key = kind.name, process.process_id, stretch.key, source_hash(kind, stretch), here
        with self._lock:
            under_way = self._under_way.get(key)
            future: Future[Built | PartitionRow] = Future()
            if under_way is None:
                self._under_way[key] = future
        if under_way is not None:
            return under_way.result()
        begin_s = tally.clock()
        try:
            made = None if here else self._built_elsewhere(kind, process, history, stretch)
            built = made or self._built_here(kind, process, history, stretch, tally)
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            tally.partition_built(kind.name, tally.clock() - begin_s)
            future.set_result(built)
            return built
        finally:
            with self._lock:
                del self._under_way[key]

    def forget(self, row: PartitionRow) -> None:
        """Drop a partition whose file is lost or damaged, so that it is built again."""
        log.warning("partition %s of process %s cannot be read and is made again", row.partition_id, row.process_id)
        self._partitions.forget(row.path)
        try:
            self._metadata.partitions.forget(row, time.time_ns())
        except (StoreFull, StoreRefused, StoreUnavailable) as error:
            log.warning("the row of partition %s stays: %s", row.partition_id, error)

    def _built_here(
        self, kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch, tally: QueryTally
    ) -> Built:
        with self._slots:
            built = self._builder.build(kind, process, history, stretch, tally)
            if built.file is not None:
                self._visible(built.file)
            return built

    def _built_elsewhere(
        self, kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch
    ) -> PartitionRow | None:
        if self._elsewhere is None:
            return None
        try:
            return self._visible(self._elsewhere(kind, process, history, stretch))
        except NotDone:
            return None

    def _visible(self, row: PartitionRow) -> PartitionRow | None:
        """Make a finished file visible; the row that is visible then, or None if it is used but not stored."""
        try:
            # The file was there first: a row never names one that is not finished.
            return self._commit(row)
        except (StoreFull, StoreRefused, StoreUnavailable) as error:
            log.warning("a partition of process %s is used but not stored: %s", row.process_id, error)
            self._objects.try_delete(row.path)
            return None
