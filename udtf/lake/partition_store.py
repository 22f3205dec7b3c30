"""The files of partitions in the object store, read through caches."""

from collections.abc import Sequence

import pyarrow as pa

from udtf.lake.cache import ByteBoundedCache
from udtf.lake.metadata import PartitionRow
from udtf.lake.objects import ObjectStore
from udtf.lake.partition_file import read_partition
from udtf.lake.scopes import ScopeTable
from udtf.lake.settings import CacheSettings
from udtf.observability.metrics import QueryTally

EVENT_BYTES = 20
"""Memory that the decoded rows of one event take, about: a span of a thread is two events."""

Decoded = tuple[pa.RecordBatch, ScopeTable]


class PartitionStore:
    """Safe to use from many threads."""

    def __init__(self, objects: ObjectStore, caches: CacheSettings) -> None:
        self._objects = objects
        self._max_kept_events = caches.row_bytes // EVENT_BYTES
        # The operating system keeps the files of a local folder in memory already.
        file_bytes = 0 if objects.is_local else caches.file_bytes
        self.files: ByteBoundedCache[str, bytes] = ByteBoundedCache(file_bytes, caches.max_file_bytes, len)
        # By path, columns and range of rows. To decode takes a third of the time of a trace of which all is in memory.
        self.rows: ByteBoundedCache[tuple[str, tuple[str, ...], int, int], Decoded] = ByteBoundedCache(
            caches.row_bytes, caches.row_bytes, _size_bytes
        )

    def write(self, path: str, data: bytes) -> None:
        """Store a finished file."""
        self._objects.put(path, data, durable=False)
        self.files.put(path, data)

    def keeps_rows(self, nb_events: int) -> bool:
        """Whether to keep the decoded rows of a query of so many events: those of a long one would push out all
        others."""
        return nb_events <= self._max_kept_events

    def read(
        self, row: PartitionRow, columns: Sequence[str], begin: int, end: int, tally: QueryTally, *, keep: bool
    ) -> Decoded:
        """Rows `begin` to before `end` of a partition, the columns named, and its scopes; with `keep`, they stay in
        memory.

        Raises:
            CorruptData: the file is missing or damaged.
        """
        rows_hit = file_hit = True

        def load() -> bytes:
            nonlocal file_hit
            file_hit = False
            return tally.read(lambda: self._objects.get(row.path, tally.store_retried))

        def decode() -> Decoded:
            nonlocal rows_hit
            rows_hit = False
            data = self.files.get(row.path, load)
            tally.file_asked(hit=file_hit)
            return read_partition(data, row.footer_hash, columns, begin, end)

        key = row.path, tuple(columns), begin, end
        decoded = self.rows.get(key, decode) if keep else decode()
        tally.rows_asked(hit=rows_hit)
        return decoded

    def forget(self, path: str) -> None:
        """Drop a file from memory."""
        self.files.drop(path)


def _size_bytes(decoded: Decoded) -> int:
    batch, scopes = decoded
    return int(batch.nbytes + scopes.scopes.nbytes + scopes.hashes.nbytes) + 1000
