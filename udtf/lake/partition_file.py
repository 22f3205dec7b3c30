"""The bytes of a partition: a Parquet file of rows, and a summary that is kept with its metadata row.

The summary is what a reader must know of a partition without opening its file: the scopes that its rows name by code,
the rows whose other half is in another partition, and the ends whose begin is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from udtf.errors import CorruptData
from udtf.lake.block_format import SCOPE
from udtf.lake.ranged_file import RangedFile
from udtf.lake.schemas import TIMESTAMP

ROW_GROUP_ROWS = 1 << 15
"""Rows that a reader holds at once."""

WINDOW_BYTES = 4 << 20
"""What a reader of a large file fetches at once: enough that the wait for a remote store is not felt."""

OPEN = np.iinfo(np.int64).max
"""In place of a time or ordinal that is not known: the span has not ended."""

UNMATCHED_ENDS = pa.schema(
    [
        pa.field("event_id", pa.int64(), nullable=False),
        pa.field("time", TIMESTAMP, nullable=False),
        pa.field("span_id", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ScopeTable:
    """The scopes that the rows of a partition name by code, and a hash of each one's content."""

    scopes: pa.StructArray
    hashes: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Summary:
    """`open_rows` are rows of the file, in their order; `ends` are of `UNMATCHED_ENDS`, in order of event."""

    scope_table: ScopeTable
    open_rows: pa.RecordBatch
    ends: pa.RecordBatch

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about."""
        scopes = self.scope_table.scopes.nbytes + self.scope_table.hashes.nbytes
        return int(scopes + self.open_rows.nbytes + self.ends.nbytes) + 1000

    def encode(self) -> bytes:
        """One record batch of one row: three lists."""
        hashed_scopes = pa.StructArray.from_arrays(
            [*self.scope_table.scopes.flatten(), pa.array(self.scope_table.hashes)],
            fields=[*SCOPE, pa.field("hash", pa.uint64(), nullable=False)],
        )
        columns = {
            "scopes": _one_list(hashed_scopes),
            "open_rows": _one_list(self.open_rows.to_struct_array()),
            "ends": _one_list(self.ends.to_struct_array()),
        }
        batch = pa.record_batch(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(batch)
        encoded: bytes = sink.getvalue().to_pybytes()
        return encoded

    @staticmethod
    def decode(encoded: bytes) -> "Summary":
        batch = pa.ipc.open_stream(encoded).read_next_batch()
        scopes, open_rows, ends = (batch.column(name).flatten() for name in ("scopes", "open_rows", "ends"))
        *scope_columns, hashes = scopes.flatten()
        return Summary(
            ScopeTable(pa.StructArray.from_arrays(scope_columns, fields=list(SCOPE)), hashes.to_numpy()),
            pa.RecordBatch.from_struct_array(open_rows),
            pa.RecordBatch.from_struct_array(ends),
        )


def unmatched_ends(
    event_ids: npt.NDArray[np.int64], times_ns: npt.NDArray[np.int64], span_ids: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Ends whose begin is in another partition, as a batch of `UNMATCHED_ENDS`."""
    columns = [pa.array(event_ids), timestamps(times_ns), pa.array(span_ids)]
    return pa.record_batch(columns, schema=UNMATCHED_ENDS)


def write_partition(table: pa.Table) -> bytes:
    """A Parquet file. Numbers and times are stored as differences, packed into as few bits as they need: half as large
    as LZ4 alone would make them, and nothing is left for it to find after that."""
    packed = [field.name for field in table.schema if not pa.types.is_boolean(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="none",
        use_dictionary=False,
        column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_partition(data: bytes, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, `ROW_GROUP_ROWS` at a time.

    Raises:
        CorruptData: the bytes are not the file that was written.
    """
    with _explained():
        file = pq.ParquetFile(pa.BufferReader(data))
        for group in range(file.num_row_groups):
            yield from _read_row_group(file, group, columns)


def read_footer(file: RangedFile) -> pq.FileMetaData:
    """What a large Parquet file says of its row groups.

    Raises:
        CorruptData: the object is not the file that was written.
    """
    with _explained():
        return pq.read_metadata(file)


def read_partition_in_ranges(
    file: RangedFile, footer: pq.FileMetaData, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """As `read_partition`, of a large file: fetches the columns named, `WINDOW_BYTES` at a time."""
    with _explained():
        parquet = pq.ParquetFile(file, metadata=footer)
        for window in _windows(footer, columns):
            file.prefetch(part for _, parts in window for part in parts)
            for group, _ in window:
                yield from _read_row_group(parquet, group, columns)


def _read_row_group(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> list[pa.RecordBatch]:
    table = file.read_row_group(group, columns=list(columns), use_threads=False)
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


_RowGroup = tuple[int, list[tuple[int, int]]]
"""The number of a row group, and the byte ranges of its columns that are wanted."""


def _windows(footer: pq.FileMetaData, columns: Sequence[str]) -> Iterator[list[_RowGroup]]:
    """Consecutive row groups that are fetched together."""
    window: list[_RowGroup] = []
    size_bytes = 0
    for group in range(footer.num_row_groups):
        parts = _column_ranges(footer.row_group(group), columns)
        group_bytes = sum(end - begin for begin, end in parts)
        if window and size_bytes + group_bytes > WINDOW_BYTES:
            yield window
            window, size_bytes = [], 0
        window.append((group, parts))
        size_bytes += group_bytes
    if window:
        yield window


def _column_ranges(row_group: pq.RowGroupMetaData, columns: Sequence[str]) -> list[tuple[int, int]]:
    ranges = []
    for index in range(row_group.num_columns):
        chunk = row_group.column(index)
        if chunk.path_in_schema.partition(".")[0] in columns:
            begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            ranges.append((begin, begin + chunk.total_compressed_size))
    return ranges


@contextmanager
def _explained() -> Iterator[None]:
    """What Parquet has to complain of, in our words."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise CorruptData(f"a partition is unreadable: {str(error)[:200]}") from error


def timestamps(times_ns: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Nanoseconds since the epoch as an Arrow column; null where the mask is set."""
    return pa.array(times_ns, pa.int64(), mask=mask).view(TIMESTAMP)


def nanoseconds(column: pa.Array) -> npt.NDArray[np.int64]:
    """An Arrow column of int64 or of times as a writable numpy column; null becomes `OPEN`."""
    integers = column.view(pa.int64())
    if integers.null_count:
        integers = integers.fill_null(int(OPEN))
    return np.asarray(integers.to_numpy(zero_copy_only=True))


def _one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
