"""Properties as senders have them, in the one form in which they are kept: a map of text to text."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidTelemetry

PROPERTIES = pa.map_(pa.utf8(), pa.utf8())


def as_properties(column: pa.Array, name: str = "properties") -> pa.MapArray:
    """A column of properties as a map of text to text, row by row.

    Taken are maps of text to text, lists of structs with a key and a value (of any two names), and structs, whose
    fields are the keys; text may be plain, large, a view, or in a dictionary. A null row stays null; a null value in a
    struct is a property that there is not, one in a map or a list is kept as null.

    Args:
        name: of the column, for messages.

    Raises:
        InvalidTelemetry: the column is of another type, or has a null key.
    """
    kind = column.type
    if kind == PROPERTIES:
        return column
    if pa.types.is_map(kind):
        return _of_pairs(column, column.offsets, column.keys, column.items, name)
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_pair(kind.value_type):
        # A null pair has a null key.
        keys, values = column.values.flatten()
        return _of_pairs(column, column.offsets, keys, values, name)
    if pa.types.is_struct(kind):
        return _of_fields(column, name)
    raise InvalidTelemetry(
        f"column {name} must be a map of text to text, a list of structs of key and value, or a struct, given: {kind}"
    )


def _is_pair(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.num_fields == 2)


def _of_pairs(column: pa.Array, offsets: pa.Array, keys: pa.Array, values: pa.Array, name: str) -> pa.MapArray:
    """A map of the pairs between the offsets of each row."""
    begins = offsets.to_numpy()
    first, nb_pairs = begins[0], begins[-1] - begins[0]
    keys, values = (_text(part.slice(first, nb_pairs), name) for part in (keys, values))
    if keys.null_count:
        raise InvalidTelemetry(f"column {name} has a null key")
    return _map((begins - first).astype(np.int32), keys, values, column.is_null())


def _of_fields(column: pa.StructArray, name: str) -> pa.MapArray:
    """A map of the fields that have a value, in the order of the fields."""
    nb_fields, rows = column.type.num_fields, len(column)
    texts = [_text(part, name) for part in column.flatten()]  # null where the struct is
    is_there = np.array([text.is_valid().to_numpy(zero_copy_only=False) for text in texts], bool).reshape(
        nb_fields, rows
    )
    by_row = pa.array(np.arange(nb_fields * rows).reshape(nb_fields, rows).T[is_there.T])
    values = pa.concat_arrays([pa.array([], pa.utf8()), *texts]).take(by_row)
    names = pa.array([field.name for field in column.type], pa.utf8())
    keys = names.take(pc.divide(by_row, max(rows, 1)))
    offsets = np.concatenate([[0], np.cumsum(is_there.sum(axis=0))]).astype(np.int32)
    return _map(offsets, keys, values, column.is_null())


def _text(column: pa.Array, name: str) -> pa.StringArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (is_text or pa.types.is_null(kind)):
        raise InvalidTelemetry(f"keys and values of column {name} must be text, given: {column.type}")
    return column.cast(pa.utf8())


def _map(offsets: npt.NDArray[np.int32], keys: pa.Array, values: pa.Array, is_null: pa.Array) -> pa.MapArray:
    return pa.MapArray.from_arrays(pa.array(offsets), keys, values, mask=is_null if is_null.true_count else None)
