"""Arrow types that every client knows in place of those that some do not, at any depth.

Views and run-end encoding are unknown to many clients, unsigned integers to JDBC and Go, and small decimals to Java.
`plain_arrays` has the values.
"""

from collections.abc import Callable

import pyarrow as pa

from udtf.errors import InvalidArgument

_UNREADABLE = ("month_interval", "day_time_interval")
"""Intervals that Python has no arrays for: not even to look at them is possible."""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that stands for this one. Dictionaries are kept, but none of dictionaries."""
    return _changed(kind, _plain)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns, of plain types."""
    return pa.schema([field.with_type(plain_type(field.type)) for field in schema], schema.metadata)


def without_dictionaries(kind: pa.DataType) -> pa.DataType:
    """The type with the values of dictionaries in their place."""
    return _changed(kind, _without_dictionary)


def has_dictionaries(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type."""
    return bool(without_dictionaries(kind) != kind)


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values alone, however they are encoded: without views, run ends, dictionaries and extensions."""
    return _changed(kind, _value_type)


def check_readable(schema: pa.Schema) -> None:
    """Raise InvalidArgument for a column of a type that Python cannot read, at any depth."""
    for field in schema:
        for unreadable in _UNREADABLE:
            if unreadable in str(field.type):
                raise InvalidArgument(
                    f"column {field.name!r} has type {field.type}, expected one without {unreadable}; "
                    "cast it: CAST(... AS INTERVAL)"
                )


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = _without_view(kind)
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, without_dictionaries(kind.value_type), kind.ordered)
    return kind


def _value_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.Bool8Type):
        return pa.bool_()
    if isinstance(kind, pa.BaseExtensionType):
        return _value_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _value_type(kind.value_type)
    return _without_view(kind)


def _without_view(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.utf8()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list_view(kind):
        return pa.list_(kind.value_field)
    if pa.types.is_large_list_view(kind):
        return pa.large_list(kind.value_field)
    if pa.types.is_run_end_encoded(kind):
        return _without_view(kind.value_type)
    return kind


def _without_dictionary(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind


def _changed(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with a change made to it and to each type within it."""
    kind = change(kind)

    def changed(field: pa.Field) -> pa.Field:
        return field.with_type(_changed(field.type, change))

    if pa.types.is_list(kind):
        return pa.list_(changed(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(changed(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(changed(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([changed(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(changed(kind.key_field), changed(kind.item_field), kind.keys_sorted)
    if pa.types.is_union(kind):
        return pa.union([changed(kind.field(i)) for i in range(kind.num_fields)], kind.mode, kind.type_codes)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _changed(kind.value_type, change), kind.ordered)
    return kind
