"""Packets that define interned ids: columns of texts into bytes.

One packet defines scopes, or messages, of consecutive ids. In bytes, with the field each tag stands for:

    0A size   50 01         68 02            62 size
    packet    sequence id   sequence flags   interned data

and in the interned data of each scope `12 size { 08 iid  12 size name }`, an event name, then
`22 size { 08 iid  12 size file name  20 line }`, a source location; of each message
`12 size { 08 iid  12 size text }`, an event name, and `A2 01 size { 08 iid  12 size text }`, the body of a log message.
"""

from collections.abc import Iterator, Mapping, Sequence

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.scopes import text_buffers
from udtf.perfetto.packets import SEQUENCE_ID, put_varint, varint_bytes
from udtf.perfetto.perfetto_trace_pb2 import DebugAnnotationName, InternedString, Trace, TracePacket

_PER_PACKET = 1000
_PER_PACKET_BYTES = 1 << 17
"""Of messages, which are longer."""

_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_OFFSETS = numba.types.Array(numba.int32, 1, "C", readonly=True)
_CODES = numba.types.Array(numba.int64, 1, "C", readonly=True)
_LINES = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_ONE = np.uint64(1)
_NEEDS_INCREMENTAL_STATE = int(TracePacket.SEQ_NEEDS_INCREMENTAL_STATE)


def define_categories(names: Mapping[str, int]) -> Iterator[bytes]:
    """Packets that define categories by their ids."""
    items = list(names.items())
    for offset in range(0, len(items), _PER_PACKET):
        trace, packet = _new_definitions()
        for name, iid in items[offset : offset + _PER_PACKET]:
            packet.interned_data.event_categories.add(iid=iid, name=name)
        yield trace.SerializeToString()


def define_scopes(first_iid: int, scope_table: pa.StructArray, codes: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Packets that define the names and source locations of the scopes at `codes` of a table of type
    `block_format.SCOPE`, by ids from `first_iid` on."""
    names, _, filenames, lines = scope_table.flatten()
    columns = (*text_buffers(names), *text_buffers(filenames), np.asarray(lines.to_numpy()))
    for offset in range(0, len(codes), _PER_PACKET):
        yield _packet(first_iid + offset, codes[offset : offset + _PER_PACKET], *columns).tobytes()


def define_annotation(name_iid: int, name: str, first_value_iid: int, values: Sequence[str]) -> bytes:
    """The packet that defines the name of an annotation and its values, by ids from `first_value_iid` on."""
    trace, packet = _new_definitions()
    packet.interned_data.debug_annotation_names.append(DebugAnnotationName(iid=name_iid, name=name))
    for iid, value in enumerate(values, first_value_iid):
        packet.interned_data.debug_annotation_string_values.append(InternedString(iid=iid, str=value.encode()))
    return trace.SerializeToString()


def define_keys(keys: Sequence[tuple[int, str]]) -> bytes:
    """The packet that defines names of annotations, by their ids."""
    trace, packet = _new_definitions()
    for iid, key in keys:
        packet.interned_data.debug_annotation_names.append(DebugAnnotationName(iid=iid, name=key))
    return trace.SerializeToString()


def _new_definitions() -> tuple[Trace, TracePacket]:
    """A trace of one packet, which is to define something, and that packet."""
    trace = Trace()
    packet = trace.packet.add()
    packet.trusted_packet_sequence_id = SEQUENCE_ID
    packet.sequence_flags = _NEEDS_INCREMENTAL_STATE
    return trace, packet


def define_messages(
    iids: npt.NDArray[np.int32], texts: pa.StringArray, codes: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """Packets that define messages of logs, those at `codes`, by ids that follow one another."""
    offsets, data = text_buffers(texts)
    ends_bytes = np.cumsum(offsets[codes + 1] - offsets[codes], dtype=np.int64)
    begin = 0
    while begin < len(codes):
        before = int(ends_bytes[begin - 1]) if begin else 0
        end = int(np.searchsorted(ends_bytes, before + _PER_PACKET_BYTES))
        end = min(max(end, begin + 1), begin + _PER_PACKET)
        yield _messages_packet(int(iids[begin]), codes[begin:end], offsets, data).tobytes()
        begin = end


@numba.njit(nogil=True)
def _varint_bytes(value):  # type: ignore[no-untyped-def]
    return np.int64(varint_bytes(np.uint64(value)))


@numba.njit(nogil=True)
def _entry_bytes(iid, text_bytes):  # type: ignore[no-untyped-def]
    """Of a message of an id and a text."""
    return 1 + _varint_bytes(iid) + 1 + _varint_bytes(text_bytes) + text_bytes


@numba.njit(nogil=True)
def _put_entry(out, position, tag, size, iid, text):  # type: ignore[no-untyped-def]
    """Writes a field with a message of `size` bytes, as far as its id and its text; returns the position after it."""
    out[position] = tag
    position = put_varint(out, position + _ONE, np.uint64(size))
    out[position] = 0x08
    position = put_varint(out, position + _ONE, np.uint64(iid))
    out[position] = 0x12
    position = put_varint(out, position + _ONE, np.uint64(len(text)))
    for byte in text:
        out[position] = byte
        position += _ONE
    return position


@numba.njit(nogil=True)
def _new_packet(data_size):  # type: ignore[no-untyped-def]
    """A buffer of a packet with so many bytes of interned data, and where they begin."""
    packet_size = 4 + 1 + _varint_bytes(data_size) + data_size
    out = np.empty(1 + _varint_bytes(packet_size) + packet_size, np.uint8)
    out[0] = 0x0A
    position = put_varint(out, _ONE, np.uint64(packet_size))
    for byte in (0x50, SEQUENCE_ID, 0x68, _NEEDS_INCREMENTAL_STATE, 0x62):
        out[position] = byte
        position += _ONE
    return out, put_varint(out, position, np.uint64(data_size))


@numba.njit(numba.uint8[::1](numba.int64, _CODES, _OFFSETS, _BYTES), nogil=True, cache=True)
def _messages_packet(first_iid, codes, offsets, data):  # type: ignore[no-untyped-def]
    sizes = np.empty(len(codes), np.int64)
    data_size = 0
    for row in range(len(codes)):
        code = codes[row]
        sizes[row] = _entry_bytes(first_iid + row, offsets[code + 1] - offsets[code])
        data_size += 1 + 2 + 2 * (_varint_bytes(sizes[row]) + sizes[row])
    out, position = _new_packet(data_size)
    for row in range(len(codes)):
        code = codes[row]
        text = data[offsets[code] : offsets[code + 1]]
        position = _put_entry(out, position, 0x12, sizes[row], first_iid + row, text)
        out[position] = 0xA2
        position = _put_entry(out, position + _ONE, 0x01, sizes[row], first_iid + row, text)
    return out


@numba.njit(numba.uint8[::1](numba.int64, _CODES, _OFFSETS, _BYTES, _OFFSETS, _BYTES, _LINES), nogil=True, cache=True)
def _packet(first_iid, codes, name_offsets, names, file_offsets, files, lines):  # type: ignore[no-untyped-def]
    name_sizes = np.empty(len(codes), np.int64)
    location_sizes = np.empty(len(codes), np.int64)
    data_size = 0
    for row in range(len(codes)):
        code, iid = codes[row], first_iid + row
        name_sizes[row] = _entry_bytes(iid, name_offsets[code + 1] - name_offsets[code])
        location_sizes[row] = (
            _entry_bytes(iid, file_offsets[code + 1] - file_offsets[code]) + 1 + _varint_bytes(lines[code])
        )
        for size in (name_sizes[row], location_sizes[row]):
            data_size += 1 + _varint_bytes(size) + size
    out, position = _new_packet(data_size)
    for row in range(len(codes)):
        code, iid = codes[row], first_iid + row
        name = names[name_offsets[code] : name_offsets[code + 1]]
        position = _put_entry(out, position, 0x12, name_sizes[row], iid, name)
        file = files[file_offsets[code] : file_offsets[code + 1]]
        position = _put_entry(out, position, 0x22, location_sizes[row], iid, file)
        out[position] = 0x20
        position = put_varint(out, position + _ONE, np.uint64(lines[code]))
    return out
