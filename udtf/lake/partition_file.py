"""The bytes of a partition: a Parquet file of rows, with the scopes that they name in its footer.

Pages carry checksums, which a reader verifies, and the footer is known by a hash that is kept with the partition's row:
whatever is flipped or cut is noticed before it is believed.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from udtf.errors import CorruptData
from udtf.lake.index import decode_lists, encode_lists
from udtf.lake.schemas import ATTRIBUTES, SCOPE
from udtf.lake.scopes import ScopeTable
from udtf.lake.sealed import digest

ROW_GROUP_ROWS = 1 << 14
"""What a reader of one thread decodes at least."""

_SCOPES = b"flightsrv.scopes"
_TAIL_BYTES = 8
"""At the end of a Parquet file: length of the footer, and a magic number."""


def write_partition(rows: pa.RecordBatch, scopes: ScopeTable) -> bytes:
    """A Parquet file. Numbers and times are stored as differences, packed into as few bits as they need: half as large
    as LZ4 alone would make them, and nothing is left for it to find after that, but in attributes."""
    packed = [
        field.name for field in rows.schema if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)
    ]
    texts = [field.name for field in rows.schema if pa.types.is_dictionary(field.type)]
    encoded = encode_lists({"scopes": scopes.scopes, "hashes": pa.array(scopes.hashes)})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression={name: "lz4" for name in (ATTRIBUTES.name,) if name in rows.schema.names},
        use_dictionary=[*texts, ATTRIBUTES.name],
        column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_batch(rows, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata({_SCOPES: encoded})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def footer_hash(data: bytes) -> str:
    """The hash of a file's footer, from the bytes of the file."""
    size = _TAIL_BYTES + int.from_bytes(data[-_TAIL_BYTES : -_TAIL_BYTES // 2], "little")
    return digest(memoryview(data)[-size:]).hex()


def read_partition(
    data: bytes, expected_footer_hash: str, columns: Sequence[str], begin: int, end: int
) -> tuple[pa.RecordBatch, ScopeTable]:
    """Rows `begin` to before `end` of a Parquet file, those of the columns named that it has, and its scopes.

    Raises:
        CorruptData: the bytes are not the file that was written.
    """
    if len(data) < _TAIL_BYTES or footer_hash(data) != expected_footer_hash:
        raise CorruptData("a partition is damaged: its footer does not have the hash that was stored")
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        groups = _groups_of(file.metadata, begin, end)
        table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
        skipped = groups[0] * ROW_GROUP_ROWS if groups else 0
        rows = table.slice(begin - skipped, end - begin).combine_chunks()
        lists = decode_lists(file.metadata.metadata[_SCOPES])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise CorruptData(f"a partition is unreadable: {str(error)[:200]}") from error
    batches = rows.to_batches()
    batch = batches[0] if batches else pa.RecordBatch.from_pylist([], rows.schema)
    scopes = pa.StructArray.from_arrays(lists["scopes"].flatten(), fields=list(SCOPE))
    return batch, ScopeTable(scopes, lists["hashes"].to_numpy())


def _groups_of(footer: pq.FileMetaData, begin: int, end: int) -> list[int]:
    """The row groups that have some rows of a range."""
    if end <= begin:
        return []
    last = min((end - 1) // ROW_GROUP_ROWS, footer.num_row_groups - 1)
    return list(range(begin // ROW_GROUP_ROWS, last + 1))
