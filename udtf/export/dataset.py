"""Where exported files are, and what is in them.

    <table>/date=2026-01-01/hour=10/<process_id>.parquet

A file has the rows of one process that begin in one hour, UTC. It appears whole and is replaced whole, and its footer
says what it was made from.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from udtf.errors import StoreFull, StoreRefused
from udtf.export.tables import Table
from udtf.lake.objects import ObjectMissing, ObjectStore, local_folder
from udtf.lake.time_range import TimeRange

HOUR_NS = 3_600_000_000_000

ROW_GROUP_ROWS = 1 << 17
"""What is in memory of a file while it is written."""

MIN_PARTIAL_AGE_S = 3600.0
"""A younger unfinished file may be one that another export writes."""

_SOURCE = b"flightsrv.source"
_FEW_VALUES = frozenset({"depth", "hash", "line"})
"""Columns of integers that repeat, so that Parquet's dictionaries make less of them than differences do."""
_TAIL_BYTES = 1 << 15
_FOOTER_END_BYTES = 8
"""Length of the footer, and a magic number."""


@dataclass(frozen=True, order=True)
class Hour:
    """One hour, UTC, by its number since 1970."""

    number: int

    @classmethod
    def of(cls, time_ns: int) -> "Hour":
        return cls(time_ns // HOUR_NS)

    @property
    def range(self) -> TimeRange:
        return TimeRange(self.number * HOUR_NS, (self.number + 1) * HOUR_NS - 1)

    @property
    def date(self) -> str:
        return str(np.datetime64(self.number, "h").astype("datetime64[D]"))

    @property
    def folder(self) -> str:
        return f"date={self.date}/hour={self.number % 24}"


class Dataset:
    """The files of one dataset. Safe to use from many threads.

    Args:
        uri: a folder, or a URL that fsspec knows, such as `s3://bucket/prefix`.
    """

    def __init__(self, uri: str) -> None:
        folder = local_folder(uri)
        self.uri = uri if folder is None else str(folder)
        self._objects = ObjectStore.open(uri)

    def begin(self) -> None:
        """Make its folder, if that is one of this machine and not there."""
        folder = local_folder(self.uri)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raises StoreRefused where its folder is not on this machine, and would be another one."""
        folder = local_folder(self.uri)
        if folder is not None and not folder.is_dir():
            raise StoreRefused("the folder of the dataset is not on this machine")

    def close(self) -> None:
        """Give up on requests that wait to be tried again."""
        self._objects.close()

    def source_of(self, table: Table, hour: Hour, process_id: str) -> str | None:
        """What a file says that it was made from; None if there is no such file, or it says nothing."""
        key = _key(table, hour, process_id)
        try:
            tail = self._objects.get_tail(key, _TAIL_BYTES)
            footer_bytes = int.from_bytes(tail[-_FOOTER_END_BYTES : -_FOOTER_END_BYTES // 2], "little")
            if footer_bytes + _FOOTER_END_BYTES > len(tail):
                tail = self._objects.get_tail(key, footer_bytes + _FOOTER_END_BYTES)
            footer = pq.read_metadata(pa.BufferReader(tail))
        except (ObjectMissing, pa.ArrowException, OSError):
            return None
        source = (footer.metadata or {}).get(_SOURCE)
        return None if source is None else source.decode()

    def replace(self, table: Table, hour: Hour, process_id: str, file: "PartFile") -> None:
        """Put a finished file in the place of the one that is there."""
        self._objects.put_file(_key(table, hour, process_id), file.path)

    def remove(self, table: Table, hour: Hour, process_id: str) -> None:
        """Drop a file, if there is one."""
        self._objects.delete(_key(table, hour, process_id))

    def tidy(self, tables: Iterable[Table], now_s: float | None = None) -> None:
        """Delete what was left unfinished in a folder by exports that were killed. Readers do not see it, as its name
        begins with a dot; a remote store has no such thing."""
        if not self._objects.is_local:
            return
        before_s = (time.time() if now_s is None else now_s) - MIN_PARTIAL_AGE_S
        for table in tables:
            for key, written_s in self._objects.written_at(table.name).items():
                if PurePosixPath(key).name.startswith(".") and written_s < before_s:
                    self._objects.try_delete(key)


class PartFile:
    """A file in the making, in the folder for temporary files, until it is closed.

    Raises:
        StoreFull: there is no room for it.
    """

    def __init__(self, table: Table) -> None:
        handle, name = tempfile.mkstemp(suffix=".parquet", prefix="flightsrv-export-")
        os.close(handle)
        self.path = Path(name)
        self.nb_rows = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        leaves = _leaves(table.schema)
        packed = [name for name, kind in leaves.items() if name not in _FEW_VALUES and kind == "INT64"]
        self._writer = pq.ParquetWriter(
            name,
            table.schema,
            compression="zstd",
            use_dictionary=[name for name in leaves if name not in packed],
            column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
            store_schema=False,  # it would tell readers in Arrow that texts are dictionaries, other ones in each file
        )

    def add(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        if self._pending_rows >= ROW_GROUP_ROWS:
            self._flush()

    def finish(self, source: str) -> None:
        """No rows come any more."""
        self._flush()
        with _room():
            self._writer.add_key_value_metadata({_SOURCE: source.encode()})
            self._writer.close()

    def close(self) -> None:
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._pending:
            return
        # With one dictionary for each text, the row group keeps it as it is.
        rows = pa.Table.from_batches(self._pending).unify_dictionaries().combine_chunks()
        with _room():
            self._writer.write_table(rows, row_group_size=len(rows))
        self.nb_rows += len(rows)
        self._pending, self._pending_rows = [], 0


@contextmanager
def _room() -> Iterator[None]:
    """Within it, a full disk is told as such."""
    try:
        yield
    except OSError as error:
        raise StoreFull(f"a file of the export cannot be written to the folder for temporary files: {error}") from error


def _key(table: Table, hour: Hour, process_id: str) -> str:
    return f"{table.name}/{hour.folder}/{process_id}.parquet"


def _leaves(schema: pa.Schema) -> dict[str, str]:
    """The columns that a file of the schema has, nested ones with their path, each with its physical type."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    columns = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return {columns.column(i).path: columns.column(i).physical_type for i in range(len(columns))}
