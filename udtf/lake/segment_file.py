"""The bytes of a segment in the object store: for each kind of telemetry an Arrow IPC stream of one record batch.

Rows are events, block after block as the segment's index has them. What is stored has been checked when it came in, so
a reader compares the hash and trusts the rest.
"""

import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.events import SCOPE, Events, to_batch
from udtf.lake.metadata import SegmentRow
from udtf.lake.scopes import hashed
from udtf.lake.sealed import digest, join_parts, split_parts


def encode_segment(events: dict[str, Events]) -> bytes:
    """The bytes of a segment, from its events by kind."""
    return join_parts({kind: _encode(to_batch(part.with_used_scopes())) for kind, part in events.items()})


def content_hash(data: bytes) -> str:
    """What a segment is known by."""
    return digest(data).hex()


def decode_segment(data: bytes, row: SegmentRow, kind: str) -> Events:
    """The events of one kind that a segment has.

    Raises:
        CorruptData: the bytes are not what was acknowledged.
    """
    if content_hash(data) != row.content_hash:
        raise CorruptData(
            f"segment {row.first_segment} of process {row.process_id} is damaged: its {len(data)} bytes do not have "
            "the hash of those that were acknowledged"
        )
    batch = pa.ipc.open_stream(split_parts(data)[kind]).read_next_batch()
    if SCOPE not in batch.schema.names:
        return Events(batch)
    position = batch.schema.get_field_index(SCOPE)
    scope: pa.DictionaryArray = batch.column(position)
    return Events(batch.set_column(position, SCOPE, scope.indices), hashed(scope.dictionary))


def _encode(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    ) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data
