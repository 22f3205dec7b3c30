"""Partitions as stored: files in the object store and summaries in their rows, both read through caches."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from udtf.lake.cache import ByteBoundedCache
from udtf.lake.metadata import MetadataStore, PartitionRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_file import Summary, read_partition
from udtf.lake.settings import CacheSettings
from udtf.metrics import QueryTally


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
        self.files: ByteBoundedCache[str, bytes] = ByteBoundedCache(caches.file_bytes, caches.max_file_bytes, len)
        self.summaries: ByteBoundedCache[str, Summary] = ByteBoundedCache(
            caches.summary_bytes, caches.summary_bytes, lambda summary: summary.size_bytes
        )

    def write(self, path: str, data: bytes) -> None:
        """Store a finished file. It is about to be read, so it stays in the cache."""
        self._objects.put(path, data, durable=False)
        self.files.put(path, data)

    def read(self, row: PartitionRow, columns: Sequence[str], tally: QueryTally) -> Iterator[pa.RecordBatch]:
        """The rows of a partition, in pieces: the columns named.

        Raises:
            CorruptData: the file is missing or unreadable.
        """
        misses = 0

        def load() -> bytes:
            nonlocal misses
            misses = 1
            return tally.read(lambda: self._objects.get(row.path))

        data = self.files.get(row.path, load)
        tally.cache_asked(hits=1 - misses, misses=misses)
        return read_partition(data, columns)

    def with_summaries(self, rows: Collection[PartitionRow], tally: QueryTally) -> list[Partition]:
        """Partitions with their summaries, read in one statement. One that has been retired since is left out."""
        summaries = {row.partition_id: self.summaries.peek(row.partition_id) for row in rows}
        missing = [partition_id for partition_id, summary in summaries.items() if summary is None]
        tally.cache_asked(hits=len(summaries) - len(missing), misses=len(missing))
        if missing:
            for partition_id, encoded in self._metadata.summaries(missing).items():
                summaries[partition_id] = summary = Summary.decode(encoded)
                self.summaries.put(partition_id, summary)
        found = ((row, summaries[row.partition_id]) for row in rows)
        return [Partition(row, summary) for row, summary in found if summary is not None]

    def delete(self, rows: Sequence[PartitionRow]) -> None:
        """Remove the files of partitions that are no longer visible. A reader that still wants one rebuilds it."""
        for row in rows:
            self.files.drop(row.path)
            self._objects.delete(row.path)
