"""A lake: one object store and one metadata database, and what can be asked of them together."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from typing import Any

import pyarrow as pa

from udtf.execution.cancellation import Cancellation
from udtf.execution.elsewhere import Elsewhere, elsewhere_of
from udtf.lake.address import LakeAddress
from udtf.lake.builds import Builder, build_at, build_version, source_hash
from udtf.lake.history import Histories, Stretch
from udtf.lake.ingestion import Ingestion
from udtf.lake.jit import BuildElsewhere, JitUpdater
from udtf.lake.metadata import HistoryRow, MetadataStore, PartitionRow, ProcessRow
from udtf.lake.objects import ObjectStore
from udtf.lake.packing import Packing
from udtf.lake.partition_store import PartitionStore
from udtf.lake.removal import Removal
from udtf.lake.settings import LakeSettings
from udtf.lake.time_range import ALL_TIME, TimeRange
from udtf.lake.view import Sources, Telemetry, View
from udtf.observability.metrics import Metrics, QueryTally
from udtf.views.kind import Kind


class Lake:
    """Safe to use from many threads.

    Attributes:
        address: where it is, if it was opened by that; what works for it elsewhere opens it so.
        elsewhere: what works for it in other processes, if its settings say so.
        histories: what is known of processes without their events.
        concurrency: how many things to do at once with its objects, unless told otherwise.
        packing: what puts small objects together.
        removal: what takes telemetry out of it.
    """

    def __init__(
        self,
        objects: ObjectStore,
        metadata: MetadataStore,
        settings: LakeSettings | None = None,
        *,
        metrics: Metrics | None = None,
        address: LakeAddress | None = None,
    ) -> None:
        settings = settings or LakeSettings()
        self.address = address
        self.objects = objects
        self.metadata = metadata
        self.metrics = metrics or Metrics()
        partitions = PartitionStore(objects, settings.caches)
        self.histories = histories = Histories(metadata, settings.caches.index_bytes)
        self.metrics.watch_store(objects.statistics)
        self.metrics.watch_cache("rows", partitions.rows.statistics)
        self.metrics.watch_cache("file", partitions.files.statistics)
        self.metrics.watch_cache("index", histories.statistics)
        # A local store needs the processor; a remote one mostly makes its readers wait.
        at_once = (os.cpu_count() or 1) if objects.is_local else 32
        self.concurrency = max(2, at_once // settings.nb_processes)
        max_builds = settings.max_builds or self.concurrency
        self.elsewhere = None
        if address is not None:
            self.elsewhere = elsewhere_of(settings.builders, max_builds, [build_at.__module__])
        if self.elsewhere is not None:
            self.concurrency = max(self.concurrency, self.elsewhere.place.nb_ahead)
        builder = Builder(metadata, objects, partitions, max_builds)
        jit = JitUpdater(
            builder,
            metadata,
            objects,
            partitions,
            max_builds=max_builds,
            metrics=self.metrics,
            elsewhere=None if self.elsewhere is None or address is None else _giving_away(self.elsewhere, address),
        )
        self._builder = builder
        reads = ThreadPoolExecutor(self.concurrency, thread_name_prefix="read")
        self._sources = Sources(metadata, histories, partitions, jit, reads, self.concurrency)
        self.packing = Packing(metadata, objects)
        self._ingestion = Ingestion(metadata, objects, histories, self.packing)
        self.removal = Removal(metadata, objects)

    @staticmethod
    def open(
        uri: str,
        db_url: str | None = None,
        settings: LakeSettings | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> "Lake":
        """Open a lake, or begin one.

        Args:
            uri: a folder, or a URL that fsspec knows, such as `s3://bucket/prefix`.
            db_url: an SQLAlchemy URL; by default an SQLite file in the folder.
            storage_options: handed to the file system of a remote store.

        Raises:
            InvalidArgument: the store is remote and no database is given.
            StoreUnavailable: the database does not answer.
            StoreRefused: the lake is of a version that this program cannot read.
        """
        return Lake.at(LakeAddress.of(uri, db_url, settings or LakeSettings(), storage_options))

    @staticmethod
    def at(address: LakeAddress) -> "Lake":
        """The same, by its address."""
        return Lake(*address.open(), address.settings, address=address)

    def close(self) -> None:
        self.objects.close()
        self._sources.reads.shutdown(wait=False, cancel_futures=True)
        self._builder.close()
        if self.elsewhere is not None:
            self.elsewhere.close()
        self.metadata.close()

    def limited_to(self, process_ids: frozenset[str]) -> "Lake":
        """The same lake as if it had no other processes; see `MetadataStore.limited_to`."""
        limited = copy(self)
        limited.metadata = self.metadata.limited_to(process_ids)
        limited._sources = replace(self._sources, metadata=limited.metadata)
        limited._ingestion = self._ingestion.into(limited.metadata)
        return limited

    def ingest(self, table: str, batch: pa.RecordBatch) -> int:
        """Store the rows of `processes`, `streams` or `blocks`; see `ingestion`."""
        return self._ingestion.ingest(table, batch)

    def telemetry_of(self, process_id: str, stream_id: str | None = None) -> Telemetry:
        """What is known of a process, or of it and one of its streams.

        Raises:
            NotFound: there is no such process.
        """
        process, history = self.metadata.process_and_history(process_id)
        return Telemetry(process, history, self.metadata.streams_of(process_id, stream_id))

    def view(
        self,
        kind: Kind,
        telemetry: Telemetry,
        time_range: TimeRange = ALL_TIME,
        *,
        max_reads: int | None = None,
        tally: QueryTally | None = None,
        cancellation: Cancellation | None = None,
        with_attributes: bool = False,
    ) -> View:
        """One kind of telemetry of a process, for a time range; with the attributes of its events, if so asked.

        Args:
            max_reads: most partitions to read at once; by default as suits the store.
        """
        return View(
            kind,
            telemetry,
            time_range,
            replace(self._sources, max_reads=max_reads or self.concurrency),
            tally or self.metrics.tally(),
            cancellation or Cancellation(),
            with_attributes,
        )

    def instance(self, kind: Kind, instance_id: str) -> Telemetry:
        """What is known of a view instance, by the id that SQL gives it: that of a stream or of a process.

        Raises:
            NotFound: there is no such stream or process.
        """
        if kind.instance_of == "process":
            return self.telemetry_of(instance_id)
        return self.telemetry_of(self.metadata.stream(instance_id).process_id, instance_id)

    def retire(self, kind: Kind, process_id: str, time_range: TimeRange) -> int:
        """Drop the partitions of a process that overlap a time range; returns their number."""
        rows = self.metadata.partitions.retire(kind.name, process_id, time_range, time.time_ns())
        self.removal.collect_garbage()
        return len(rows)

    def process_of(self, kind: Kind, instance_id: str) -> str:
        """The process that an instance is of; raises NotFound if there is no such instance."""
        if kind.instance_of == "process":
            return self.metadata.process(instance_id).process_id
        return self.metadata.stream(instance_id).process_id


def _giving_away(elsewhere: Elsewhere, address: LakeAddress) -> BuildElsewhere:
    """Builds of the lake of an address by others."""
    of_workers, version = address.for_workers(), build_version()

    def build(kind: Kind, process: ProcessRow, history: HistoryRow, stretch: Stretch) -> PartitionRow:
        source = source_hash(kind, stretch)
        return elsewhere.run(build_at, of_workers, version, kind.name, process, history, stretch.key, source)

    return build
