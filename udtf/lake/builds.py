"""The build of one partition: from the segments of a stretch to its file in the object store, and the row of that.

Any process that reaches the lake can do it (`build_at`). The row is for the caller to commit: until then, the file is
an object like those that a server leaves that dies.
"""

import logging
import pickle
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import chain

import numpy as np
import pyarrow as pa

from udtf.errors import CorruptData, StoreFull, StoreRefused, StoreUnavailable
from udtf.lake.address import LakeAddress
from udtf.lake.events import Events, concatenate
from udtf.lake.history import Histories, Stretch, StretchKey
from udtf.lake.index import Index, lay_out
from udtf.lake.metadata import HistoryRow, MetadataStore, PartitionRow, ProcessRow, SegmentRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_file import footer_hash, write_partition
from udtf.lake.partition_store import PartitionStore
from udtf.lake.ranges import ranges
from udtf.lake.scopes import ScopeTable
from udtf.lake.segment_file import decode_segment
from udtf.observability.metrics import Metrics, QueryTally
from udtf.views.catalog import KINDS, kind_named
from udtf.views.kind import Kind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """The rows of a partition, the scopes that they name by code, and the row of its file; None if that could not be
    stored."""

    rows: pa.RecordBatch
    scopes: ScopeTable
    file: PartitionRow | None


class Builder:
    """Safe to use from many threads."""

    def __init__(
        self, metadata: MetadataStore, objects: ObjectStore, partitions: PartitionStore, max_fetches: int
    ) -> None:
        self._metadata = metadata
        self._objects = objects
        self._partitions = partitions
        self._fetches = ThreadPoolExecutor(max_fetches, thread_name_prefix="fetch")

    def build(self, kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch, tally: QueryTally) -> Built:
        """Make the partition of a stretch, and store its file if that can be.

        Raises:
            CorruptData: a segment of the stretch is lost or damaged.
            Removed: a segment has been removed meanwhile.
        """
        segments = self._segments(history, stretch)
        try:
            events, index = self._events(kind, segments, tally)
        except CorruptData:
            # Rather than damaged, a segment may have been removed, or be in another object by now.
            self._metadata.check_history(history)
            moved = self._segments(history, stretch)
            if [row.object_key for row in moved] == [row.object_key for row in segments]:
                raise
            events, index = self._events(kind, moved, tally)
        rows, scopes = build_rows(kind, process, events, index)
        return Built(rows, scopes, self._stored(kind, stretch, rows, scopes))

    def close(self) -> None:
        self._fetches.shutdown(cancel_futures=True)

    def _segments(self, history: HistoryRow, stretch: Stretch) -> list[SegmentRow]:
        """The rows of the segments of a stretch; raises as `build`."""
        numbers = range(stretch.key.first_segment, stretch.key.end_segment)
        segments = self._metadata.segments(stretch.process_id, numbers)
        if len(segments) < stretch.key.nb_segments:
            self._metadata.check_history(history)
            raise CorruptData(f"the metadata lacks segments of process {stretch.process_id}")
        return segments

    def _events(
        self, kind: Kind, segments: Sequence[SegmentRow], tally: QueryTally
    ) -> tuple[list[Events], list[Index]]:
        """The events of segments, and their indexes, of those that have some of a kind."""

        def fetch(rows: Sequence[SegmentRow]) -> list[Events]:
            key, begin, end = rows[0].object_key, rows[0].object_begin, rows[-1].object_end
            data = memoryview(tally.read(lambda: self._objects.get_range(key, begin, end, tally.store_retried)))
            return [
                decode_segment(data[row.object_begin - begin : row.object_end - begin], row, kind.name) for row in rows
            ]

        indexes = [Stretch.of(row).index_of(kind.name) for row in segments]
        of_kind = [row for row, index in zip(segments, indexes, strict=True) if index is not None]
        requests = _side_by_side(of_kind)
        fetched = map(fetch, requests) if self._objects.is_local else self._fetches.map(fetch, requests)
        return list(chain.from_iterable(fetched)), [index for index in indexes if index is not None]

    def _stored(self, kind: Kind, stretch: Stretch, rows: pa.RecordBatch, scopes: ScopeTable) -> PartitionRow | None:
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
            self._partitions.write(row.path, data)
        except (StoreFull, StoreRefused, StoreUnavailable) as error:
            log.warning("a partition of process %s is used but not stored: %s", stretch.process_id, error)
            self._objects.try_delete(row.path)
            return None
        return row


def _side_by_side(segments: Sequence[SegmentRow]) -> list[list[SegmentRow]]:
    """Segments in groups that one request reads: each goes on in the same object where the one before it ends."""
    groups: list[list[SegmentRow]] = []
    for row in segments:
        before = groups[-1][-1] if groups else None
        if before is not None and (before.object_key, before.object_end) == (row.object_key, row.object_begin):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def source_hash(kind: Kind, stretch: Stretch) -> str:
    """What the partition of a stretch must have been made from to be fresh."""
    return f"{kind.schema_version}-{stretch.content_hash}"


def build_rows(
    kind: Kind, process: ProcessRow, parts: Sequence[Events], indexes: Sequence[Index]
) -> tuple[pa.RecordBatch, ScopeTable]:
    """The rows of a partition and its scopes, from the events of some segments, one at least, and their indexes."""
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


def build_version() -> str:
    """What must be the same here and where a partition is built for this process."""
    return "/".join([version("flightsrv"), *(f"{kind.name}-{kind.schema_version}" for kind in KINDS)])


def build_at(
    address: LakeAddress,
    expected_version: str,
    kind_name: str,
    process: ProcessRow,
    history: HistoryRow,
    key: StretchKey,
    expected_source: str,
) -> PartitionRow:
    """Make the file of a partition, in any process; returns the row that names it, which is to be committed.

    Raises:
        StoreRefused: this program is of another version, has no such lake, or cannot store the file.
        CorruptData, Removed: as `Builder.build`.
    """
    if build_version() != expected_version:
        raise StoreRefused(f"version {build_version()} cannot build for version {expected_version}")
    bench = _bench(pickle.dumps(address))
    kind = kind_named(kind_name)
    [stretch] = bench.histories.of(history, [key])
    if source_hash(kind, stretch) != expected_source:
        raise StoreRefused("the lake has other segments than the one that is built for")
    built = bench.builder.build(kind, process, history, stretch, bench.metrics.tally())
    if built.file is None:
        raise StoreRefused("the file of a partition could not be stored")
    return built.file


class _Bench:
    """What a process that builds for others keeps open of a lake."""

    def __init__(self, address: LakeAddress) -> None:
        address.check()
        objects, metadata = address.open()
        settings = address.settings
        self.metrics = Metrics()
        self.histories = Histories(metadata, settings.caches.index_bytes)
        partitions = PartitionStore(objects, replace(settings.caches, file_bytes=0, row_bytes=0))
        self.builder = Builder(metadata, objects, partitions, settings.store.max_requests)


@cache
def _bench(pickled_address: bytes) -> _Bench:
    return _Bench(pickle.loads(pickled_address))
