"""The bytes of a segment in the object store: for each kind of telemetry the columns of its events.

Rows are events, block after block as the segment's index has them. Integers are shrunk (`integers.py`) and not
compressed, everything else is compressed. What is stored has been checked when it came in, so a reader compares the
hash and trusts the rest.
"""

import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.events import SCOPE, Events
from udtf.lake.index import decode_lists, encode_lists
from udtf.lake.integers import restore, shrink
from udtf.lake.metadata import SegmentRow
from udtf.lake.scopes import NO_SCOPES, hashed
from udtf.lake.sealed import digest, join_parts, split_parts

_SCHEMA, _INTEGERS, _OTHERS = "schema", "integers", "others"


def encode_segment(events: dict[str, Events]) -> bytes:
    """The bytes of a segment, from its events by kind."""
    return join_parts(
        {
            f"{kind}/{name}": part
            for kind, of_kind in events.items()
            for name, part in _encode(of_kind.compact()).items()
        }
    )


def content_hash(data: bytes | memoryview) -> str:
    """What a segment is known by."""
    return digest(data).hex()


def check_content(data: bytes | memoryview, row: SegmentRow) -> None:
    """Raises CorruptData if bytes are not what was acknowledged as a segment."""
    if content_hash(data) != row.content_hash:
        raise CorruptData(
            f"segment {row.first_segment} of process {row.process_id} is damaged: its {len(data)} bytes do not have "
            "the hash of those that were acknowledged"
        )


def decode_segment(data: bytes | memoryview, row: SegmentRow, kind: str) -> Events:
    """The events of one kind that a segment has.

    Raises:
        CorruptData: the bytes are not what was acknowledged.
    """
    check_content(data, row)
    parts = split_parts(data)
    return _decode({name: parts[f"{kind}/{name}"] for name in (_SCHEMA, _INTEGERS, _OTHERS)})


def _encode(events: Events) -> dict[str, bytes]:
    integers: dict[str, pa.Array] = {}
    # Codes of scopes are integers, so the name of their column is free here.
    others: dict[str, pa.Array] = {SCOPE: events.scopes.scopes} if SCOPE in events.rows.schema.names else {}
    for name, column in zip(events.rows.schema.names, events.rows.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            others[name] = column.dictionary
            column = column.indices
        if pa.types.is_integer(column.type) and column.null_count == 0:
            integers |= {f"{name}.{part}": values for part, values in shrink(column).items()}
        else:
            others[name] = column
    return {
        _SCHEMA: events.rows.schema.serialize().to_pybytes(),
        _INTEGERS: encode_lists(integers, compression=None),
        _OTHERS: encode_lists(others),
    }


def _decode(parts: dict[str, memoryview]) -> Events:
    schema = pa.ipc.read_schema(pa.py_buffer(parts[_SCHEMA]))
    integers: dict[str, dict[str, pa.Array]] = {}
    for name, values in decode_lists(parts[_INTEGERS]).items():
        column, _, part = name.rpartition(".")
        integers.setdefault(column, {})[part] = values
    others = decode_lists(parts[_OTHERS])

    def column_of(field: pa.Field) -> pa.Array:
        if field.name not in integers:
            return others[field.name]
        if pa.types.is_dictionary(field.type):
            codes = restore(integers[field.name], field.type.index_type)
            return pa.DictionaryArray.from_arrays(codes, others[field.name])
        return restore(integers[field.name], field.type)

    rows = pa.record_batch([column_of(field) for field in schema], schema=schema)
    return Events(rows, hashed(others[SCOPE]) if SCOPE in others else NO_SCOPES)
