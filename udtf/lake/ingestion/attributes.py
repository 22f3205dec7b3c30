"""Attributes as clients send them, in a field `attributes` of events.

    map<utf8, utf8 | int64 | double | bool>     values of one type
    list<struct<key, text, integer, float, boolean, json>>
                                                of each attribute a key and one value; fields that are not needed may be
                                                missing
    binary                                      as they are stored (`udtf.lake.attributes`)

Other widths of these types are taken as well. Null is as good as none.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidEvent, InvalidTelemetry
from udtf.lake.attributes import BOOLEAN, FLOAT, INTEGER, JSON, TEXT, check, encode_entries

_KEY = "key"
_VALUES = {
    "text": (TEXT, pa.utf8()),
    "integer": (INTEGER, pa.int64()),
    "float": (FLOAT, pa.float64()),
    "boolean": (BOOLEAN, pa.bool_()),
    "json": (JSON, pa.utf8()),
}
"""Fields of an attribute, with the type that a value of it has."""

_EXPECTED = "binary, map<utf8, utf8> or list<struct<key: utf8, text, integer, float, boolean or json>>"


def read_attributes(column: pa.Array, where: str) -> pa.BinaryArray:
    """The attributes of some events as they are stored.

    Raises:
        InvalidTelemetry: the column has another type.
        InvalidEvent: those of one event are wrong.
    """
    if _is_binary(column.type):
        stored = column.cast(pa.binary()).fill_null(b"")
        check(stored)
        return stored
    try:
        if pa.types.is_map(column.type):
            fields = {_KEY: column.keys, _field_of(column.type.item_type): column.items}
            offsets = column.offsets
        elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            values = column.values
            if not pa.types.is_struct(values.type):
                raise pa.ArrowTypeError(f"a list of {values.type}")
            fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
            offsets = column.offsets
        else:
            raise pa.ArrowTypeError("another type")
        unknown = fields.keys() - {_KEY, *_VALUES}
        if unknown or _KEY not in fields:
            raise pa.ArrowTypeError(f"an attribute with fields {', '.join(sorted(fields))}")
        column.validate(full=True)
        return _encode(column, offsets, fields)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidTelemetry(f"{where} has type {column.type}, expected {_EXPECTED}: {reason}") from error


def _encode(column: pa.Array, offsets: pa.Array, fields: dict[str, pa.Array]) -> pa.BinaryArray:
    starts = np.asarray(offsets.to_numpy(), np.int64)
    counts = np.where(np.asarray(column.is_valid()), np.diff(starts), 0)
    bounds = np.concatenate(([0], np.cumsum(counts)))
    # Entries of lists that are null, and those before and after the slice that a column may be, are not wanted.
    wanted = pa.array(np.repeat(starts[:-1] - bounds[:-1], counts) + np.arange(bounds[-1]))
    keys = fields[_KEY].take(wanted).cast(pa.utf8())
    filled = np.zeros(len(keys), np.int64)
    types = np.zeros(len(keys), np.uint8)
    numbers = np.zeros(len(keys), np.int64)
    texts = pa.nulls(len(keys), pa.utf8())
    for name, (kind, value_type) in _VALUES.items():
        if name not in fields:
            continue
        values = fields[name].take(wanted).cast(value_type)
        is_given = np.asarray(values.is_valid())
        filled += is_given
        types[is_given] = kind
        if kind in (TEXT, JSON):
            texts = pc.coalesce(texts, values)
        else:
            given = values.drop_null()
            numbers[is_given] = _bits(given)
    wrong = np.flatnonzero((filled != 1) | ~np.asarray(keys.is_valid()))
    if len(wrong):
        event = int(np.searchsorted(bounds, wrong[0], side="right")) - 1
        raise InvalidEvent(
            event, f"an attribute with {filled[wrong[0]]} values", f"a key and one of {', '.join(_VALUES)}"
        )
    return encode_entries(bounds, keys, types, numbers, texts.fill_null(""))


def _bits(values: pa.Array) -> npt.NDArray[np.int64]:
    numbers = np.asarray(values.to_numpy(zero_copy_only=False))
    return numbers.view(np.int64) if numbers.dtype == np.float64 else numbers.astype(np.int64)


def _field_of(item_type: pa.DataType) -> str:
    """The field that holds values of a type."""
    if pa.types.is_boolean(item_type):
        return "boolean"
    if pa.types.is_integer(item_type):
        return "integer"
    return "float" if pa.types.is_floating(item_type) else "text"


def _is_binary(data_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type) or pa.types.is_binary_view(data_type)
    )
