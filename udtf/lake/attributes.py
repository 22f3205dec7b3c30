"""Attributes of events: what was noted of a span or of a line of a log, as keys with typed values.

Those of an event are some bytes, one entry after the other; no bytes, no attributes:

    key size    uint8, at least 1
    type        uint8: 0 text, 1 integer, 2 float, 3 boolean, 4 JSON
    key         UTF-8
    value       text and JSON: uint16 size, and UTF-8; integer: int64; float: float64; boolean: uint8

All numbers are little-endian. So attributes of many events are one Arrow column of binary values, which moves, is cut
and is put together as every other column, and compiled loops read it where types matter.
"""

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import InvalidEvent
from udtf.lake.schemas import ATTRIBUTES, PROPERTIES
from udtf.lake.scopes import text_buffers

TEXT, INTEGER, FLOAT, BOOLEAN, JSON = range(5)
"""Types of values."""
MAX_BYTES = (1 << 13) - 1
"""Of the attributes of one event: with as many events as a partition may have, they fit into one Arrow column."""
MAX_KEY_BYTES = 255

Int64s = npt.NDArray[np.int64]

_ENTRY_BYTES = 2
"""What comes before the key."""
_SIZE_BYTES = 2
_NUMBER_BYTES = 8

_OFFSETS = "Array(int32, 1, 'C', readonly=True)"
_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_INT64S = "Array(int64, 1, 'C', readonly=True)"
_TYPES = "Array(uint8, 1, 'C', readonly=True)"


def none(count: int) -> pa.BinaryArray:
    """The attributes of so many events that have none."""
    return _binary(np.zeros(count + 1, np.int32), np.empty(0, np.uint8))


def attributes_of(batch: pa.RecordBatch) -> pa.BinaryArray | None:
    """The column of attributes, where there is one: telemetry that has no attributes has no such column."""
    position = batch.schema.get_field_index(ATTRIBUTES.name)
    return None if position < 0 else batch.column(position)


def with_attributes(batch: pa.RecordBatch, attributes: pa.BinaryArray | None) -> pa.RecordBatch:
    """A batch with this column of attributes, if it is one and says something."""
    return batch if attributes is None or not any_in(attributes) else batch.append_column(ATTRIBUTES, attributes)


def any_in(attributes: pa.BinaryArray) -> bool:
    """Whether any of some events has attributes."""
    offsets, _ = text_buffers(attributes)
    return bool(offsets[-1] > offsets[0])


def has_some(attributes: pa.BinaryArray) -> npt.NDArray[np.bool_]:
    """Which events have attributes."""
    offsets, _ = text_buffers(attributes)
    result: npt.NDArray[np.bool_] = offsets[1:] > offsets[:-1]
    return result


def check(attributes: pa.BinaryArray) -> None:
    """Look at what a stranger sent.

    Raises:
        InvalidEvent: an event has bytes that are no attributes, too many of them, or text that is not UTF-8.
    """
    offsets, data = text_buffers(attributes)
    sizes = np.diff(offsets)
    if np.any(sizes > MAX_BYTES):
        wrong = int(np.argmax(sizes > MAX_BYTES))
        raise InvalidEvent(wrong, f"attributes of {sizes[wrong]} bytes", f"at most {MAX_BYTES}")
    wrong = int(_first_malformed(offsets, data))
    if wrong >= 0:
        raise InvalidEvent(wrong, "bytes that are no attributes", "entries of key size, type, key and value")
    bounds, keys, _, texts, _ = _entries(attributes)
    for array in (keys, texts):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            valid = [_is_utf8(value) for value in array.cast(pa.binary())]
            wrong = int(np.searchsorted(bounds, valid.index(False), side="right")) - 1
            raise InvalidEvent(wrong, "attributes that are not UTF-8", "UTF-8") from None


def merged(first: pa.BinaryArray, second: pa.BinaryArray) -> pa.BinaryArray:
    """For each event both attributes; where a key is in both, the second value."""
    first_offsets, first_data = text_buffers(first)
    second_offsets, second_data = text_buffers(second)
    if not len(second_data) or first_offsets[-1] == first_offsets[0]:
        return second if len(second_data) else first
    kept = np.empty(len(first), np.int64)
    _sizes_kept(first_offsets, first_data, second_offsets, second_data, kept)
    offsets = np.concatenate(([0], np.cumsum(kept + np.diff(second_offsets)))).astype(np.int32)
    data = np.empty(int(offsets[-1]), np.uint8)
    _merge(first_offsets, first_data, second_offsets, second_data, offsets, data)
    return _binary(offsets, data)


def replaced(attributes: pa.BinaryArray, rows: Int64s, values: pa.BinaryArray) -> pa.BinaryArray:
    """The same, with other values in some rows."""
    places = np.arange(len(attributes))
    places[rows] = len(attributes) + np.arange(len(rows))
    return pa.concat_arrays([attributes, values]).take(pa.array(places))


def as_properties(attributes: pa.BinaryArray) -> pa.MapArray:
    """As SQL shows them, a map of text to text: numbers in decimal, `true` and `false`, JSON as it is."""
    bounds, keys, types, texts, numbers = _entries(attributes)
    items = _value_texts(types, texts, numbers)
    return pa.MapArray.from_arrays(pa.array(bounds.astype(np.int32)), keys, items, type=PROPERTIES)


def as_entries(attributes: pa.BinaryArray) -> tuple[pa.StringArray, pa.StringArray, pa.StringArray]:
    """Of all entries the keys, the names of their types, and the values as `as_properties` has them."""
    _, keys, types, texts, numbers = _entries(attributes)
    return keys, _TYPE_NAMES.take(pa.array(types)), _value_texts(types, texts, numbers)


def _value_texts(types: npt.NDArray[np.uint8], texts: pa.StringArray, numbers: Int64s) -> pa.StringArray:
    """The values of entries as texts."""
    is_text = (types == TEXT) | (types == JSON)
    values = [
        texts.filter(pa.array(is_text)),
        pa.array(numbers[types == INTEGER]).cast(pa.utf8()),
        pa.array(numbers[types == FLOAT].view(np.float64)).cast(pa.utf8()),
        pa.array(numbers[types == BOOLEAN] != 0).cast(pa.utf8()),
    ]
    order = np.concatenate([np.flatnonzero(chosen) for chosen in (is_text, *(types == t for t in _NOT_TEXT))])
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return pa.concat_arrays(values).take(pa.array(places))


_TYPE_NAMES = pa.array(["text", "integer", "float", "boolean", "json"])
_NOT_TEXT = (INTEGER, FLOAT, BOOLEAN)


def entry_keys(offsets: Int64s, data: npt.NDArray[np.uint8]) -> tuple[Int64s, npt.NDArray[np.uint64], Int64s]:
    """The keys of attributes that are in the bytes from `offsets[e]` to `offsets[e + 1]`.

    Returns:
        where the entries of each begin, with their number in the end; the hash of the key of each entry, and where in
        the data the entry is.
    """
    bounds, positions = _find(offsets, data)
    return bounds, _key_hashes(data, positions), positions


def key_at(data: npt.NDArray[np.uint8], position: int) -> str:
    """The key of the entry at a position."""
    begin = position + _ENTRY_BYTES
    return data[begin : begin + int(data[position])].tobytes().decode()


def encode_entries(
    bounds: Int64s, keys: pa.StringArray, types: npt.NDArray[np.uint8], numbers: Int64s, texts: pa.StringArray
) -> pa.BinaryArray:
    """The attributes of events of which event e has the entries from `bounds[e]` to `bounds[e + 1]`.

    Args:
        numbers: integers, bits of floats, and 0 or 1; ignored where the type is text or JSON.
        texts: ignored for other types.

    Raises:
        InvalidEvent: a key or the attributes of an event have too many bytes, or none.
    """
    key_offsets, key_data = text_buffers(keys)
    text_offsets, text_data = text_buffers(texts)
    key_sizes, text_sizes = (np.diff(offsets).astype(np.int64) for offsets in (key_offsets, text_offsets))
    is_text = (types == TEXT) | (types == JSON)
    value_sizes = np.where(is_text, text_sizes + _SIZE_BYTES, np.where(types == BOOLEAN, 1, _NUMBER_BYTES))
    ends = np.concatenate(([0], np.cumsum(_ENTRY_BYTES + key_sizes + value_sizes)))
    wrong_keys = np.flatnonzero((key_sizes < 1) | (key_sizes > MAX_KEY_BYTES))
    if len(wrong_keys):
        event = int(np.searchsorted(bounds, wrong_keys[0], side="right")) - 1
        raise InvalidEvent(
            event, f"an attribute whose key has {key_sizes[wrong_keys[0]]} bytes", f"1 to {MAX_KEY_BYTES}"
        )
    offsets = ends[bounds]
    too_long = np.flatnonzero(np.diff(offsets) > MAX_BYTES)
    if len(too_long):
        event = int(too_long[0])
        size = offsets[event + 1] - offsets[event]
        raise InvalidEvent(event, f"attributes of {size} bytes", f"at most {MAX_BYTES}")
    data = np.empty(int(ends[-1]), np.uint8)
    _encode(key_offsets, key_data, types, numbers, text_offsets, text_data, data)
    return _binary(offsets.astype(np.int32), data)


def _binary(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> pa.BinaryArray:
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _entries(
    attributes: pa.BinaryArray,
) -> tuple[Int64s, pa.StringArray, npt.NDArray[np.uint8], pa.StringArray, Int64s]:
    """Where the entries of each event begin, with their number in the end; and of each entry key, type, text (empty
    for other types), and number (its bits; 0 for texts)."""
    offsets, data = text_buffers(attributes)
    bounds, positions = _find(offsets.astype(np.int64), data)
    types, numbers, key_offsets, text_offsets = _measure(data, positions)
    keys, texts = _split(data, positions, key_offsets, text_offsets)
    return bounds, _texts(key_offsets, keys), types, _texts(text_offsets, texts), numbers.view(np.int64)


def _texts(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> pa.StringArray:
    return _binary(offsets, data).view(pa.utf8())


def _is_utf8(value: pa.BinaryScalar) -> bool:
    try:
        value.as_py().decode()
    except UnicodeDecodeError:
        return False
    return True


@numba.njit(f"int64({_BYTES}, int64, int64)", nogil=True, cache=True)
def entry_end(data, position, end):  # type: ignore[no-untyped-def]
    """Where the entry at a position ends; -1 if there is none that ends at `end` or before."""
    if position + 2 > end or data[position] == 0:
        return -1
    value = position + 2 + np.int64(data[position])
    kind = data[position + 1]
    if kind == 0 or kind == 4:
        if value + 2 > end:
            return -1
        after = value + 2 + np.int64(data[value]) + (np.int64(data[value + 1]) << 8)
    elif kind == 3:
        after = value + 1
    elif kind < 3:
        after = value + 8
    else:
        return -1
    return after if after <= end else -1


@numba.njit(f"uint64({_BYTES}, int64)", nogil=True, cache=True)
def number_at(data, position):  # type: ignore[no-untyped-def]
    """Eight bytes as an unsigned number."""
    number = np.uint64(0)
    for byte in range(8):
        number |= np.uint64(data[position + byte]) << np.uint64(8 * byte)
    return number


@numba.njit(f"int64({_OFFSETS}, {_BYTES})", nogil=True, cache=True)
def _first_malformed(offsets, data):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        position = np.int64(offsets[row])
        while position < offsets[row + 1]:
            position = entry_end(data, position, np.int64(offsets[row + 1]))
            if position < 0:
                return row
    return -1


@numba.njit(f"UniTuple(int64[::1], 2)({_INT64S}, {_BYTES})", nogil=True, cache=True)
def _find(offsets, data):  # type: ignore[no-untyped-def]
    """Where the entries of each event begin, with their number in the end; and where in the data each entry is."""
    bounds = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        bounds[row + 1] = bounds[row]
        position = offsets[row]
        while 0 <= position < offsets[row + 1]:
            position = entry_end(data, position, offsets[row + 1])
            bounds[row + 1] += position >= 0
    positions = np.empty(bounds[-1], np.int64)
    for row in range(len(offsets) - 1):
        position = offsets[row]
        for entry in range(bounds[row], bounds[row + 1]):
            positions[entry] = position
            position = entry_end(data, position, offsets[row + 1])
    return bounds, positions


@numba.njit(f"uint64[::1]({_BYTES}, {_INT64S})", nogil=True, cache=True)
def _key_hashes(data, positions):  # type: ignore[no-untyped-def]
    """64-bit FNV-1a, mixed by the finalizer of MurmurHash3."""
    hashes = np.empty(len(positions), np.uint64)
    for entry in range(len(positions)):
        begin = positions[entry] + 2
        value = np.uint64(0xCBF29CE484222325)
        for byte in range(begin, begin + np.int64(data[begin - 2])):
            value = (value ^ np.uint64(data[byte])) * np.uint64(0x100000001B3)
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        hashes[entry] = value ^ (value >> np.uint64(33))
    return hashes


@numba.njit(
    f"Tuple((uint8[::1], uint64[::1], int32[::1], int32[::1]))({_BYTES}, {_INT64S})",
    nogil=True,
    cache=True,
)
def _measure(data, positions):  # type: ignore[no-untyped-def]
    """What `_entries` says of each entry, but for the texts themselves."""
    types, numbers = np.empty(len(positions), np.uint8), np.zeros(len(positions), np.uint64)
    key_offsets, text_offsets = np.zeros(len(positions) + 1, np.int32), np.zeros(len(positions) + 1, np.int32)
    for entry in range(len(positions)):
        position = positions[entry]
        value = position + 2 + np.int64(data[position])
        kind = data[position + 1]
        types[entry] = kind
        key_offsets[entry + 1] = key_offsets[entry] + data[position]
        text_offsets[entry + 1] = text_offsets[entry]
        if kind == 0 or kind == 4:
            text_offsets[entry + 1] += entry_end(data, position, np.int64(len(data))) - value - 2
        elif kind == 3:
            numbers[entry] = np.uint64(data[value])
        else:
            numbers[entry] = number_at(data, value)
    return types, numbers, key_offsets, text_offsets


@numba.njit(f"UniTuple(uint8[::1], 2)({_BYTES}, {_INT64S}, {_OFFSETS}, {_OFFSETS})", nogil=True, cache=True)
def _split(data, positions, key_offsets, text_offsets):  # type: ignore[no-untyped-def]
    """Keys and texts, whose offsets are known."""
    keys, texts = np.empty(key_offsets[-1], np.uint8), np.empty(text_offsets[-1], np.uint8)
    for entry in range(len(positions)):
        key = positions[entry] + 2
        key_size = key_offsets[entry + 1] - key_offsets[entry]
        for byte in range(key_size):
            keys[key_offsets[entry] + byte] = data[key + byte]
        text = key + key_size + 2
        for byte in range(text_offsets[entry + 1] - text_offsets[entry]):
            texts[text_offsets[entry] + byte] = data[text + byte]
    return keys, texts


@numba.njit(f"boolean({_BYTES}, int64, {_BYTES}, int64, int64)", nogil=True, cache=True)
def _has_key(data, entry, others, position, end):  # type: ignore[no-untyped-def]
    """Whether the key of an entry is among the entries of others from a position to an end."""
    size = data[entry]
    while 0 <= position < end:
        if others[position] == size:
            byte = 0
            while byte < size and others[position + 2 + byte] == data[entry + 2 + byte]:
                byte += 1
            if byte == size:
                return True
        position = entry_end(others, position, end)
    return False


@numba.njit(f"void({_OFFSETS}, {_BYTES}, {_OFFSETS}, {_BYTES}, int64[::1])", nogil=True, cache=True)
def _sizes_kept(first_offsets, first_data, second_offsets, second_data, kept):  # type: ignore[no-untyped-def]
    """Of each event the bytes of first entries whose keys are not among the second."""
    for row in range(len(first_offsets) - 1):
        kept[row] = first_offsets[row + 1] - first_offsets[row]
        begin, end = np.int64(second_offsets[row]), np.int64(second_offsets[row + 1])
        position = np.int64(first_offsets[row])
        while begin < end and 0 <= position < first_offsets[row + 1]:
            after = entry_end(first_data, position, np.int64(first_offsets[row + 1]))
            if _has_key(first_data, position, second_data, begin, end):
                kept[row] -= after - position
            position = after


@numba.njit(f"void({_OFFSETS}, {_BYTES}, {_OFFSETS}, {_BYTES}, int32[::1], uint8[::1])", nogil=True, cache=True)
def _merge(first_offsets, first_data, second_offsets, second_data, offsets, data):  # type: ignore[no-untyped-def]
    for row in range(len(first_offsets) - 1):
        place = np.int64(offsets[row])
        begin, end = np.int64(second_offsets[row]), np.int64(second_offsets[row + 1])
        position = np.int64(first_offsets[row])
        while 0 <= position < first_offsets[row + 1]:
            after = entry_end(first_data, position, np.int64(first_offsets[row + 1]))
            if begin == end or not _has_key(first_data, position, second_data, begin, end):
                for byte in range(position, after):
                    data[place] = first_data[byte]
                    place += 1
            position = after
        for byte in range(begin, end):
            data[place] = second_data[byte]
            place += 1


@numba.njit(
    f"void({_OFFSETS}, {_BYTES}, {_TYPES}, {_INT64S}, {_OFFSETS}, {_BYTES}, uint8[::1])", nogil=True, cache=True
)
def _encode(key_offsets, key_data, types, numbers, text_offsets, text_data, data):  # type: ignore[no-untyped-def]
    place = 0
    for entry in range(len(types)):
        data[place] = key_offsets[entry + 1] - key_offsets[entry]
        data[place + 1] = types[entry]
        place += 2
        for byte in range(key_offsets[entry], key_offsets[entry + 1]):
            data[place] = key_data[byte]
            place += 1
        if types[entry] == 0 or types[entry] == 4:
            size = text_offsets[entry + 1] - text_offsets[entry]
            data[place] = size & 0xFF
            data[place + 1] = size >> 8
            place += 2
            for byte in range(text_offsets[entry], text_offsets[entry + 1]):
                data[place] = text_data[byte]
                place += 1
        else:
            for byte in range(1 if types[entry] == 3 else 8):
                data[place] = (numbers[entry] >> (8 * byte)) & 0xFF
                place += 1
