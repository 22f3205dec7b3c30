"""JIT update: make the partition of a stretch when a query first needs it.

A partition is made from the events of its stretch alone, so it never becomes outdated. Two queries that need the same
one share one build; two servers may both build it, and the metadata lets one of them win. One that cannot be stored is
used all the same, and made again the next time.
"""

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from udtf.errors import CorruptData, StoreFull, StoreRefused, StoreUnavailable
from udtf.lake.events import Events, concatenate
from udtf.lake.group_commit import GroupCommit
from udtf.lake.history import Stretch, StretchKey
from udtf.lake.index import Index, lay_out
from udtf.lake.metadata import HistoryRow, MetadataStore, PartitionRow, ProcessRow, SegmentRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_file import footer_hash, write_partition
from udtf.lake.partition_store import PartitionStore
from udtf.lake.ranges import ranges
from udtf.lake.scopes import ScopeTable
from udtf.lake.segment_file import decode_segment
from udtf.observability.metrics import Metrics, QueryTally
from udtf.views.kind import Kind

log = logging.getLogger(__name__)

Built = tuple[pa.RecordBatch, ScopeTable]
"""The rows of a partition, and the scopes that they name by code."""


class JitUpdater:
    """Builds partitions for every query of this server."""

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
        self._slots = threading.BoundedSemaphore(max_builds)
        self._fetches = ThreadPoolExecutor(max_builds, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str, StretchKey, str], Future[Built]] = {}
        self._commit = GroupCommit[PartitionRow, PartitionRow](
            lambda rows: self._metadata.commit_partitions(rows, time.time_ns())
        )
        metrics.builds_under_way.set_function(lambda: len(self._under_way))

    def build(self, kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch, tally: QueryTally) -> Built:
        """The rows of a stretch's partition, which is stored and visible then, if it can be.

        Raises:
            CorruptData: a segment of the stretch is lost or damaged.
            Removed: a segment has been removed meanwhile.
        """
        # Of the stretch as well: threads that do the same at the same time have segments of the same content.
        key = kind.name, process.process_id, stretch.key, source_hash(kind, stretch)
        with self._lock:
            under_way = self._under_way.get(key)
            future: Future[Built] = Future()
            if under_way is None:
                self._under_way[key] = future
        if under_way is not None:
            return under_way.result()
        try:
            with self._slots:
                built = self._build(kind, process, history, stretch, tally)
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
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
            self._metadata.forget_partition(row, time.time_ns())
        except (StoreFull, StoreRefused, StoreUnavailable) as error:
            log.warning("the row of partition %s stays: %s", row.partition_id, error)

    def close(self) -> None:
        self._fetches.shutdown(cancel_futures=True)

    def _build(
        self, kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch, tally: QueryTally
    ) -> Built:
        begin_s = tally.clock()
        segments = self._metadata.segments(
            process.process_id, range(stretch.key.first_segment, stretch.key.end_segment)
        )
        if len(segments) < stretch.key.nb_segments:
            self._metadata.check_history(history)
            raise CorruptData(f"the metadata lacks segments of process {process.process_id}")
        try:
            events, index = self._events(kind, segments, tally)
        except CorruptData:
            self._metadata.check_history(history)  # rather than damaged, it may have been removed
            raise
        rows, scopes = build_rows(kind, process, events, index)
        self._store(kind, stretch, rows, scopes)
        tally.partition_built(kind.name, tally.clock() - begin_s)
        return rows, scopes

    def _events(
        self, kind: Kind, segments: Sequence[SegmentRow], tally: QueryTally
    ) -> tuple[list[Events], list[Index]]:
        """The events of segments, and their indexes, of those that have some of a kind."""

        def fetch(row: SegmentRow) -> tuple[Events, Index] | None:
            index = Stretch.of(row).index_of(kind.name)
            if index is None:
                return None
            data = tally.read(
                lambda: self._objects.get_range(row.object_key, row.object_begin, row.object_end, tally.store_retried)
            )
            return decode_segment(data, row, kind.name), index

        fetched = map(fetch, segments) if self._objects.is_local else self._fetches.map(fetch, segments)
        found = [pair for pair in fetched if pair is not None]
        return [events for events, _ in found], [index for _, index in found]

    def _store(self, kind: Kind, stretch: Stretch, rows: pa.RecordBatch, scopes: ScopeTable) -> None:
        data = write_partition(rows, scopes)
        partition_id = uuid.uuid4().hex
        row = PartitionRow(
            partition_id=partition_id,
            view_set=kind.name,
            process_id=stretch.process_id,
            first_segment=stretch.key.first_segment,
            nb_segments=stretch.key.nb_segments,
            begin_time=stretch.begin_time,
            end_time=stretch.end_time,
            nb_rows=rows.num_rows,
            size_bytes=len(data),
            path=f"views/{stretch.process_id}/{kind.name}/{partition_id}.parquet",
            footer_hash=footer_hash(data),
            source_hash=source_hash(kind, stretch),
            insert_time=time.time_ns(),
        )
        try:
            # The file first: a row never names one that is not finished.
            self._partitions.write(row.path, data)
            self._commit(row)
        except (StoreFull, StoreRefused, StoreUnavailable) as error:
            log.warning("a partition of process %s is used but not stored: %s", stretch.process_id, error)
            self._objects.try_delete(row.path)


def source_hash(kind: Kind, stretch: Stretch) -> str:
    """What the partition of a stretch must have been made from to be fresh."""
    return f"{kind.schema_version}-{stretch.content_hash}"


def build_rows(kind: Kind, process: ProcessRow, parts: Sequence[Events], indexes: Sequence[Index]) -> Built:
    """The rows of a partition, from the events of some segments, one at least, and their indexes."""
    laid, order = lay_out(indexes)
    counts = np.concatenate([index.runs.nb_events for index in indexes])
    events = concatenate(parts)
    if len(order) > 1 and np.any(order[1:] < order[:-1]):
        events = events.take(ranges((np.cumsum(counts) - counts)[order], counts[order]))
    starts = np.flatnonzero(~laid.runs.follow())
    bounds = np.append((np.cumsum(laid.runs.nb_events) - laid.runs.nb_events)[starts], len(events))
    ordinals = ranges(laid.runs.first, laid.runs.nb_events)
    rows = kind.build(events, ordinals, bounds, laid.runs.streams[starts], process.clock)
    return rows, events.scopes
