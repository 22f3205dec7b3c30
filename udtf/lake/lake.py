"""A lake: one object store and one metadata database, and what can be asked of them together."""

import os
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.lake.async_events import AsyncEvents
from udtf.lake.block_index import BlockIndex
from udtf.lake.ingestion import Ingestion
from udtf.lake.jit import JitUpdater
from udtf.lake.metadata import BlockRow, MetadataStore, ProcessRow, StreamRow
from udtf.lake.objects import ObjectStore, local_folder
from udtf.lake.partition_store import PartitionStore
from udtf.lake.process_view import ProcessView
from udtf.lake.runs import runs_by_stream
from udtf.lake.settings import LakeSettings
from udtf.lake.thread_spans import ThreadSpans
from udtf.lake.view_set import PlanT, ViewSet
from udtf.metrics import Metrics, QueryTally
from udtf.time_range import WHOLE_LIFE, TimeRange

THREAD_SPANS = ThreadSpans()
ASYNC_EVENTS = AsyncEvents()
VIEW_SETS: dict[str, ViewSet[Any]] = {view_set.name: view_set for view_set in (THREAD_SPANS, ASYNC_EVENTS)}


@dataclass(frozen=True)
class ProcessTelemetry:
    """All rows of one process, read in a constant number of statements."""

    process: ProcessRow
    streams: list[StreamRow]
    blocks: list[BlockRow]

    def streams_tagged(self, tag: str) -> list[StreamRow]:
        return [stream for stream in self.streams if tag in stream.tags]


class Lake:
    """Safe to use from many threads.

    Attributes:
        concurrency: how many things to do at once with its objects, where nobody said.
    """

    def __init__(
        self,
        objects: ObjectStore,
        metadata: MetadataStore,
        settings: LakeSettings | None = None,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        settings = settings or LakeSettings()
        self.objects = objects
        self.metadata = metadata
        self.metrics = metrics or Metrics()
        self.partitions = PartitionStore(objects, metadata, settings.caches)
        self.metrics.watch_store(objects.statistics)
        self.metrics.watch_cache("rows", self.partitions.rows.statistics)
        self.metrics.watch_cache("file", self.partitions.files.statistics)
        self.metrics.watch_cache("summary", self.partitions.summaries.statistics)
        self.metrics.watch_cache("footer", self.partitions.footers.statistics)
        # Who works on files of this machine needs the processor; who works on a remote store mostly waits for it.
        self.concurrency = max(2, os.cpu_count() or 1) if objects.is_local else 32
        max_builds = settings.max_builds or self.concurrency
        self.jit = JitUpdater(metadata, objects, self.partitions, max_builds=max_builds, metrics=self.metrics)
        self._blocks = BlockIndex(metadata)
        self._ingestion = Ingestion(metadata, objects)

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
        """
        settings = settings or LakeSettings()
        if db_url is None:
            folder = local_folder(uri)
            if folder is None:
                raise InvalidArgument(
                    f"a lake at {uri} needs a database for its metadata: give an SQLAlchemy URL (--db)"
                )
            folder.mkdir(parents=True, exist_ok=True)
            db_url = f"sqlite:///{folder / 'metadata.db'}"
        objects = ObjectStore.open(uri, settings.store, storage_options)
        return Lake(objects, MetadataStore(db_url, settings.database), settings)

    def close(self) -> None:
        self.objects.close()
        self._ingestion.close()
        self.jit.close()
        self.metadata.close()

    def limited_to(self, process_ids: frozenset[str]) -> "Lake":
        """The same lake as if it had no other processes; see `MetadataStore.limited_to`."""
        limited = copy(self)
        limited.metadata = self.metadata.limited_to(process_ids)
        limited._ingestion = self._ingestion.into(limited.metadata)
        return limited

    def ingest(self, table: str, batch: pa.RecordBatch) -> int:
        """Store the rows of `processes`, `streams` or `blocks`; see `ingestion`."""
        return self._ingestion.ingest(table, batch)

    def telemetry_of(self, process_id: str, stream_id: str | None = None) -> ProcessTelemetry:
        """The rows of a process, or of one of its streams.

        Raises:
            NotFound: there is no such process.
        """
        return ProcessTelemetry(
            self.metadata.process(process_id),
            self.metadata.streams_of(process_id, stream_id),
            self._blocks.blocks_of(process_id) if stream_id is None else self.metadata.blocks_of(process_id, stream_id),
        )

    def view(
        self,
        view_set: ViewSet[PlanT],
        telemetry: ProcessTelemetry,
        time_range: TimeRange,
        stream_id: str | None = None,
        tally: QueryTally | None = None,
    ) -> ProcessView[PlanT]:
        """A view set over the streams of a process, for a time range. Nothing is built or read as yet; what will be
        is counted on the tally of the query that wants it."""
        streams = telemetry.streams_tagged(view_set.stream_tag)
        rows = self.metadata.partitions_of(telemetry.process.process_id, view_set.name, time_range, stream_id)
        return ProcessView(
            view_set,
            telemetry.process,
            [(stream, view_set.plan(runs, time_range)) for stream, runs in runs_by_stream(streams, telemetry.blocks)],
            rows,
            self.jit,
            self.partitions,
            tally or self.metrics.tally(),
        )

    def instance(
        self,
        view_set: ViewSet[PlanT],
        instance_id: str,
        time_range: TimeRange = WHOLE_LIFE,
        tally: QueryTally | None = None,
    ) -> ProcessView[PlanT]:
        """One view instance, by the id that SQL gives it: a stream's or a process's.

        Raises:
            NotFound: there is no such stream or process.
        """
        if view_set.instance_of == "stream":
            stream = self.metadata.stream(instance_id)
            telemetry = self.telemetry_of(stream.process_id, instance_id)
            return self.view(view_set, telemetry, time_range, instance_id, tally)
        return self.view(view_set, self.telemetry_of(instance_id), time_range, tally=tally)

    def check_instance(self, view_set: ViewSet[Any], instance_id: str) -> None:
        """Raises NotFound if there is no stream or process for this instance."""
        if view_set.instance_of == "stream":
            self.metadata.stream(instance_id)
        else:
            self.metadata.process(instance_id)

    def materialize(
        self, view_set: ViewSet[Any], instance_id: str, time_range: TimeRange, tally: QueryTally | None = None
    ) -> int:
        """Bring up to date what a time range of an instance needs; returns the number of partitions built."""
        view = self.instance(view_set, instance_id, time_range, tally)
        stale = sum(len(stream.stale_runs()) for stream in view.streams)
        view.start_update()
        for stream in view.streams:
            stream.finish_update()
        return stale

    def retire(self, view_set: ViewSet[Any], instance_id: str, time_range: TimeRange) -> int:
        """Drop the partitions of an instance that overlap a time range; returns their number."""
        rows = self.metadata.retire_partitions(view_set.name, instance_id, time_range)
        self.partitions.delete(rows)
        return len(rows)
