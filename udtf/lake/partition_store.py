"""Partitions as stored: files in the object store and summaries in their rows, both read through caches."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from udtf.errors import UdtfError
from udtf.lake.cache import ByteBoundedCache
from udtf.lake.metadata import MetadataStore, PartitionRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_file import Summary, read_footer, read_partition, read_partition_in_ranges
from udtf.lake.ranged_file import RangedFile
from udtf.lake.settings import CacheSettings
from udtf.metrics import QueryTally

log = logging.getLogger(__name__)

EVENT_BYTES = 20
"""Memory that the decoded rows of one event take, about: a span of a thread is two events."""

FOOTER_FACTOR = 10
"""How much more memory a parsed footer takes than its bytes in the file, about."""


@dataclass(frozen=True)
class Partition:
    """A visible partition."""

    row: PartitionRow
    summary: Summary


class PartitionStore:
    """Safe to use from many threads."""

    def __init__(self, objects: ObjectStore, metadata: MetadataStore, caches: CacheSettings) -> None:
        self._objects = objects
        self._metadata = metadata
        self._max_file_bytes = caches.max_file_bytes
        self._max_kept_events = caches.row_bytes // EVENT_BYTES
        # The operating system keeps the files of a local folder in memory already.
        file_bytes = 0 if objects.is_local else caches.file_bytes
        self.files: ByteBoundedCache[str, bytes] = ByteBoundedCache(file_bytes, caches.max_file_bytes, len)
        self.summaries: ByteBoundedCache[str, Summary] = ByteBoundedCache(
            caches.summary_bytes, caches.summary_bytes, lambda summary: summary.size_bytes
        )
        # Decoded, by path and columns: to decode costs a third of a warm trace.
        self.rows: ByteBoundedCache[tuple[str, tuple[str, ...]], list[pa.RecordBatch]] = ByteBoundedCache(
            caches.row_bytes, caches.row_bytes, lambda batches: sum(batch.nbytes for batch in batches)
        )
        # Of files that are not kept whole. To parse a footer takes 30 us; what it saves is a request.
        self.footers: ByteBoundedCache[str, pq.FileMetaData] = ByteBoundedCache(
            caches.footer_bytes, caches.footer_bytes, lambda footer: FOOTER_FACTOR * footer.serialized_size
        )

    def write(self, path: str, data: bytes) -> None:
        """Store a finished file. It is about to be read, so it stays in a cache."""
        self._objects.put(path, data, durable=False)
        self.files.put(path, data)

    def keeps_rows(self, nb_events: int) -> bool:
        """Whether to keep the decoded rows of a reader of so many events: those of a long one would push out one
        another, and everybody else's."""
        return nb_events <= self._max_kept_events

    def read(
        self, row: PartitionRow, columns: Sequence[str], tally: QueryTally, *, keep: bool
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a partition, in pieces: the columns named; with `keep`, they stay in memory decoded.

        Raises:
            CorruptData: the file is missing or unreadable.
        """
        if row.size_bytes > self._max_file_bytes:
            return self._read_in_ranges(row, columns, tally)
        rows_hit = file_hit = True

        def load() -> bytes:
            nonlocal file_hit
            file_hit = False
            return tally.read(lambda: self._objects.get(row.path, tally.store_retried))

        def decode() -> Iterator[pa.RecordBatch]:
            nonlocal rows_hit
            rows_hit = False
            data = self.files.get(row.path, load)
            tally.file_asked(hit=file_hit)
            return read_partition(data, columns)

        batches = iter(self.rows.get((row.path, tuple(columns)), lambda: list(decode()))) if keep else decode()
        tally.rows_asked(hit=rows_hit)
        return batches

    def summaries_of(self, rows: Collection[PartitionRow], tally: QueryTally) -> dict[str, Summary]:
        """The summaries of partitions, by id, read in one statement. One that has been retired since is left out."""
        nb_missing = 0

        def load(missing: list[str]) -> dict[str, Summary]:
            nonlocal nb_missing
            nb_missing = len(missing)
            return {key: Summary.decode(encoded) for key, encoded in self._metadata.summaries(missing).items()}

        summaries = self.summaries.get_all([row.partition_id for row in rows], load)
        tally.summaries_asked(len(rows) - nb_missing, nb_missing)
        return summaries

    def delete(self, rows: Sequence[PartitionRow]) -> None:
        """Remove the files of partitions that are not visible. A reader that still wants one rebuilds it. A file that
        cannot be removed now is an orphan, which a server removes when it starts."""
        for row in rows:
            self.files.drop(row.path)
            self.footers.drop(row.path)
            try:
                self._objects.delete(row.path)
            except UdtfError as error:
                log.warning("the file of a partition without a row stays where it is: %s", error)

    def _read_in_ranges(self, row: PartitionRow, columns: Sequence[str], tally: QueryTally) -> Iterator[pa.RecordBatch]:
        tally.file_asked(hit=False)
        file = RangedFile(
            lambda begin, end: tally.read(lambda: self._objects.get_range(row.path, begin, end, tally.store_retried)),
            row.size_bytes,
        )
        footer = self.footers.get(row.path, lambda: read_footer(file))
        return read_partition_in_ranges(file, footer, columns)
