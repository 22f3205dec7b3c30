"""Arrow types that every client knows in place of those that some do not, at any depth."""

from collections.abc import Callable

import pyarrow as pa


def without_views(kind: pa.DataType) -> pa.DataType:
    """The type with views of text, bytes and lists as plain text, bytes and lists."""
    return _changed(kind, _plain_view)


def without_dictionaries(kind: pa.DataType) -> pa.DataType:
    """The type with the values of dictionaries in their place."""
    return _changed(kind, lambda part: part.value_type if pa.types.is_dictionary(part) else part)


def has_dictionaries(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type."""
    return bool(without_dictionaries(kind) != kind)


def _plain_view(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.utf8()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list_view(kind):
        return pa.list_(kind.value_field)
    if pa.types.is_large_list_view(kind):
        return pa.large_list(kind.value_field)
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
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _changed(kind.value_type, change), kind.ordered)
    return kind
