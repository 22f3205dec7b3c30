"""How much memory values take that share it, once each has its own.

A dictionary says the same text a thousand times at the cost of one, and so does a view. What a client sends is measured
here before it is decoded.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidArgument

_VIEW = np.dtype([("length", "<i4"), ("data", "V12")])


def expanded_bytes(array: pa.Array) -> int:
    """What a valid array takes without dictionaries and views; offsets and validity are not counted.

    Raises:
        InvalidArgument: it has a type that is not accepted.
    """
    if isinstance(array, pa.ExtensionArray):
        return expanded_bytes(array.storage)
    kind = array.type
    if pa.types.is_struct(kind) or pa.types.is_union(kind):
        return sum(expanded_bytes(array.field(i)) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return expanded_bytes(array.keys) + expanded_bytes(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return expanded_bytes(_values_of(array))
    if pa.types.is_dictionary(kind):
        return int(_sizes_bytes(array.dictionary)[array.indices.drop_null().to_numpy()].sum())
    if _is_of_fixed_size(kind):
        return len(array) * int(kind.bit_width) // 8
    return 0 if pa.types.is_null(kind) else int(_sizes_bytes(array).sum())


def _values_of(array: pa.Array) -> pa.Array:
    """The values of lists, those under nulls included: `flatten` leaves them out, but not for every type."""
    if not len(array):
        return array.values.slice(0, 0)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return array.values.slice(array.offset * size, len(array) * size)
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    return array.values.slice(first, last - first)


def _sizes_bytes(array: pa.Array) -> npt.NDArray[np.int64]:
    """What each value takes."""
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        views = np.frombuffer(array.buffers()[1], _VIEW, array.offset + len(array))[array.offset :]
        return np.where(array.is_valid(), views["length"].astype(np.int64), 0)
    if pa.types.is_run_end_encoded(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        raise InvalidArgument(f"columns of type {kind} are not taken")
    if pa.types.is_struct(kind):
        of_structs = np.zeros(len(array), np.int64)
        for values in array.flatten():
            of_structs += _sizes_bytes(values)
        return of_structs
    if _is_of_fixed_size(kind):
        return np.full(len(array), int(kind.bit_width) // 8)
    if kind.num_fields or pa.types.is_null(kind) or isinstance(array, pa.ExtensionArray):
        # In a dictionary, where each may be all there is.
        return np.full(len(array), expanded_bytes(array))
    sizes: npt.NDArray[np.int64] = pc.binary_length(array).fill_null(0).to_numpy().astype(np.int64)
    return sizes


def _is_of_fixed_size(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind))
