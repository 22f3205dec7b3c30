"""Arrays as other types that hold the same values (`plain_types`), at any depth.

Casts of Arrow do not reach into all nested types, and know nothing of some.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidArgument


def converted(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values as another type: one that `plain_types` makes of the type of the array.

    Raises:
        InvalidArgument: a value does not fit.
    """
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        return _from_dictionary(array, kind)
    if pa.types.is_run_end_encoded(array.type):
        return converted(array.values, kind).take(_runs(array))
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        return _from_list_view(array, kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _nested(array, kind, [array.offsets.to_numpy()], [converted(array.values, kind.value_type)])
    if pa.types.is_fixed_size_list(kind):
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        return _nested(array, kind, [], [converted(values, kind.value_type)])
    if pa.types.is_map(kind):
        return _from_map(array, kind)
    if pa.types.is_struct(kind):
        return _nested(array, kind, [], _children(array, kind))
    if pa.types.is_union(kind):
        # A union has no nulls of its own.
        buffers = [None, *map(_buffer, _union_buffers(array))]
        return pa.Array.from_buffers(kind, len(array), buffers, children=_children(array, kind))
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise InvalidArgument(f"a value does not fit into {kind}, the type in which clients get it: {error}") from error


def without_rows(schema: pa.Schema) -> pa.RecordBatch:
    """An empty batch, of whatever types."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, kind) for kind in schema.types], schema=schema)


def value_in_union(union: pa.UnionArray, row: int) -> pa.Scalar:
    """A value of a union as that of the member that it belongs to, whose type a null has as well."""
    codes, *offsets = _union_buffers(union)
    member = union.field(union.type.type_codes.index(codes[row]))
    return member[int(offsets[0][row]) if offsets else row]


def _union_buffers(union: pa.UnionArray) -> list[npt.NDArray[np.generic]]:
    """Codes of types and, if it is dense, offsets; pyarrow's own attributes do not know where a slice begins."""
    rows = slice(union.offset, union.offset + len(union))
    _, *buffers = union.buffers()[: 3 if union.type.mode == "dense" else 2]
    return [np.frombuffer(given, kind)[rows] for given, kind in zip(buffers, (np.int8, np.int32), strict=False)]


def _from_dictionary(array: pa.DictionaryArray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        values = converted(array.dictionary, kind.value_type)
        return pa.DictionaryArray.from_arrays(array.indices, values, ordered=kind.ordered)
    return converted(array.dictionary, kind).take(array.indices)


def _runs(array: pa.RunEndEncodedArray) -> pa.Array:
    """The run that each row is in."""
    rows = np.arange(array.offset, array.offset + len(array))
    return pa.array(np.searchsorted(array.run_ends.to_numpy(), rows, side="right"))


def _from_list_view(array: pa.Array, kind: pa.DataType) -> pa.Array:
    sizes = pc.list_value_length(array).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = converted(array.flatten(), kind.value_type)
    return _nested(array, kind, [offsets.astype(np.int32 if pa.types.is_list(kind) else np.int64)], [values])


def _from_map(array: pa.MapArray, kind: pa.MapType) -> pa.Array:
    columns = [converted(array.keys, kind.key_type), converted(array.items, kind.item_type)]
    entries = pa.struct([kind.key_field, kind.item_field])
    rows = pa.Array.from_buffers(entries, len(columns[0]), [None], children=columns)
    return _nested(array, kind, [array.offsets.to_numpy()], [rows])


def _children(array: pa.Array, kind: pa.DataType) -> list[pa.Array]:
    return [converted(array.field(i), kind.field(i).type) for i in range(kind.num_fields)]


def _nested(
    array: pa.Array, kind: pa.DataType, buffers: Sequence[npt.NDArray[np.generic]], children: Sequence[pa.Array]
) -> pa.Array:
    """An array that is null where another is."""
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    valid = _buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None
    return pa.Array.from_buffers(kind, len(array), [valid, *map(_buffer, buffers)], children=list(children))


def _buffer(values: npt.NDArray[np.generic]) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(values))
