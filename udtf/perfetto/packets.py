"""The bytes of packets, as compiled functions that the loops (`kernels`) are made of.

One event becomes one `TracePacket`. In bytes, with the field each tag stands for:

    0A size   40 delta    50 01            5A size { 48 type ... }
    packet    timestamp   sequence id      track_event

An event with attributes has an annotation for each at the end of its `track_event`, and sizes of three bytes, which are
written when both are known.

All but the timestamp is the same for every event of a kind, so it is laid out once per scope in a table of *bodies*:
row `END_ROW` ends a slice, and the row of an interned scope's id begins one of that scope. A body is three
words of eight bytes, stored whole and then cut to its length: what is written beyond is overwritten by the next
packet. An event that is not on the default track has its `track_uuid` after the body, and sizes that count it.

Stores go byte by byte because the position is not aligned; the compiler makes one instruction of each eight, as long
as positions are unsigned (a signed one could count from the end of the array).
"""

import numba
import numpy as np

from udtf.lake.attributes import entry_end, number_at

SEQUENCE_ID = 1
"""The one packet sequence of a trace; under 128, so that it takes one byte."""
END_ROW = 0
TRACK_FIELD_BYTES = 10
"""Length of a `track_uuid` field with one of our uuids."""
DEFAULT_TRACK = -1
"""Stands for the track of events that name none."""
ONE = np.uint64(1)

_SPAN_ID, _PARENT_SPAN_ID = (np.frombuffer(key, np.uint8) for key in (b"span_id", b"parent_span_id"))
"""Keys of attributes by which spans of different processes are linked: of the one that calls, and the one called."""
_WORD = np.uint64(8)


@numba.njit(nogil=True)
def put_varint(out, position, value):  # type: ignore[no-untyped-def]
    """Writes an unsigned number, seven bits a byte; returns the position after it."""
    while value >= np.uint64(0x80):
        out[position] = np.uint8(value | np.uint64(0x80))
        value >>= np.uint64(7)
        position += ONE
    out[position] = np.uint8(value)
    return position + ONE


@numba.njit(nogil=True)
def put_delta(out, position, value):  # type: ignore[no-untyped-def]
    """`put_varint`, quick for less than 2**28 (a quarter of a second).

    The length of a delta is hard to guess, so nothing branches on it: four bytes are written always.
    """
    if value >= np.uint64(1 << 28):
        return put_varint(out, position, value)
    size = (
        ONE
        + np.uint64(value >= np.uint64(1 << 7))
        + np.uint64(value >= np.uint64(1 << 14))
        + np.uint64(value >= np.uint64(1 << 21))
    )
    groups = (
        (value & np.uint64(0x7F))
        | (value << np.uint64(1)) & np.uint64(0x7F00)
        | (value << np.uint64(2)) & np.uint64(0x7F0000)
        | (value << np.uint64(3)) & np.uint64(0x7F000000)
    )
    more = np.uint64(0x80808080) & ((ONE << (np.uint64(8) * size - np.uint64(8))) - ONE)
    _put_half_word(out, position, groups | more)
    return position + size


@numba.njit(nogil=True)
def _put_half_word(out, position, word):  # type: ignore[no-untyped-def]
    """Writes four bytes, the lowest first."""
    out[position] = np.uint8(word)
    out[position + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    out[position + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    out[position + np.uint64(3)] = np.uint8(word >> np.uint64(24))


@numba.njit(nogil=True)
def put_word(out, position, word):  # type: ignore[no-untyped-def]
    """Writes eight bytes, the lowest first."""
    out[position] = np.uint8(word)
    out[position + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    out[position + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    out[position + np.uint64(3)] = np.uint8(word >> np.uint64(24))
    out[position + np.uint64(4)] = np.uint8(word >> np.uint64(32))
    out[position + np.uint64(5)] = np.uint8(word >> np.uint64(40))
    out[position + np.uint64(6)] = np.uint8(word >> np.uint64(48))
    out[position + np.uint64(7)] = np.uint8(word >> np.uint64(56))


@numba.njit(nogil=True)
def put_event(out, packet, delta_ns, bodies, lengths, row):  # type: ignore[no-untyped-def]
    """Writes one packet at position `packet`; returns the position after it.

    A negative delta wraps around to ten bytes, and readers, who add modulo 2**64, come out right.
    """
    out[packet] = 0x0A
    out[packet + np.uint64(2)] = 0x40
    position = put_delta(out, packet + np.uint64(3), np.uint64(delta_ns))
    put_word(out, position, bodies[row, 0])
    put_word(out, position + _WORD, bodies[row, 1])
    put_word(out, position + np.uint64(16), bodies[row, 2])
    position += np.uint64(lengths[row])
    out[packet + ONE] = np.uint8(position - packet - np.uint64(2))
    return position


@numba.njit(nogil=True)
def put_track_field(out, position, tracks, track):  # type: ignore[no-untyped-def]
    """Writes a `track_uuid` field; returns the position after it."""
    put_word(out, position, tracks[track, 0])
    put_word(out, position + _WORD, tracks[track, 1])
    return position + np.uint64(TRACK_FIELD_BYTES)


@numba.njit(nogil=True)
def put_track(out, packet, position, body_length, tracks, track):  # type: ignore[no-untyped-def]
    """Adds the `track_uuid` field to the packet that ends at `position`; returns the position after it."""
    event_size = position - np.uint64(body_length) + np.uint64(3)
    out[event_size] = np.uint8(out[event_size] + np.uint8(TRACK_FIELD_BYTES))
    position = put_track_field(out, position, tracks, track)
    out[packet + ONE] = np.uint8(position - packet - np.uint64(2))
    return position


@numba.njit(nogil=True)
def put_size(out, position, size):  # type: ignore[no-untyped-def]
    """Writes a size in three bytes, whatever it is."""
    out[position] = np.uint8(size & np.uint64(0x7F) | np.uint64(0x80))
    out[position + ONE] = np.uint8(size >> np.uint64(7) & np.uint64(0x7F) | np.uint64(0x80))
    out[position + np.uint64(2)] = np.uint8(size >> np.uint64(14))


@numba.njit(nogil=True)
def varint_bytes(value):  # type: ignore[no-untyped-def]
    """How many bytes `put_varint` writes."""
    size = ONE
    while value >= np.uint64(0x80):
        value >>= np.uint64(7)
        size += ONE
    return size


@numba.njit(nogil=True)
def put_flow(out, position, data, begin, after):  # type: ignore[no-untyped-def]
    """Writes the flow that an attribute of a span begins or ends, if it is the id of a span as W3C Trace Context has
    it: 16 hexadecimal digits. Returns the position after it."""
    key_bytes = np.int64(data[begin])
    is_end = key_bytes == len(_PARENT_SPAN_ID)
    if data[begin + 1] != 0 or not (is_end or key_bytes == len(_SPAN_ID)):
        return position
    key = _PARENT_SPAN_ID if is_end else _SPAN_ID
    for place in range(key_bytes):
        if data[begin + 2 + place] != key[place]:
            return position
    first_digit = begin + 2 + key_bytes + 2
    if after - first_digit != 16:
        return position
    flow = np.uint64(0)
    for place in range(first_digit, after):
        digit = data[place]
        if 48 <= digit <= 57:  # 0 to 9
            digit -= np.uint8(48)
        elif 97 <= digit <= 102:  # a to f
            digit -= np.uint8(87)
        else:
            return position
        flow = flow << np.uint64(4) | np.uint64(digit)
    return put_flow_id(out, position, flow, is_end)


@numba.njit(nogil=True)
def put_flow_id(out, position, flow, is_end):  # type: ignore[no-untyped-def]
    """Writes the id of a flow that begins or ends at an event; returns the position after it."""
    # flow_ids: (47 << 3 | 1) is 0x179; terminating_flow_ids: (48 << 3 | 1) is 0x181
    out[position] = 0x81 if is_end else 0xF9
    out[position + ONE] = 0x03 if is_end else 0x02
    put_word(out, position + np.uint64(2), np.uint64(flow))
    return position + np.uint64(10)


@numba.njit(nogil=True)
def put_annotations(  # type: ignore[no-untyped-def]
    out, position, source, offsets, data, first_keys, key_iids, begins_span
):
    """Writes an annotation for each of the attributes with a number, in less than twice their bytes, and the flows
    where these begin a span; returns the position after them."""
    begin, end, key = offsets[source], offsets[source + 1], first_keys[source]
    while 0 <= begin < end:
        after = entry_end(data, begin, end)
        if after < 0:
            break
        kind = data[begin + 1]
        value = begin + 2 + np.int64(data[begin])
        iid = np.uint64(key_iids[key])
        key += 1
        name_bytes = ONE + varint_bytes(iid)
        out[position] = 0x22  # debug_annotations
        position += ONE
        if kind == 1:
            number = number_at(data, value)
            position = put_varint(out, position, name_bytes + ONE + varint_bytes(number))
            out[position] = 0x08  # name_iid
            position = put_varint(out, position + ONE, iid)
            out[position] = 0x20  # int_value
            position = put_varint(out, position + ONE, number)
        elif kind == 2:
            position = put_varint(out, position, name_bytes + np.uint64(9))
            out[position] = 0x08
            position = put_varint(out, position + ONE, iid)
            out[position] = 0x29  # double_value
            put_word(out, position + ONE, number_at(data, value))
            position += np.uint64(9)
        elif kind == 3:
            position = put_varint(out, position, name_bytes + np.uint64(2))
            out[position] = 0x08
            position = put_varint(out, position + ONE, iid)
            out[position] = 0x10  # bool_value
            out[position + ONE] = np.uint8(data[value] != 0)
            position += np.uint64(2)
        else:
            size = np.uint64(after - value - 2)
            position = put_varint(out, position, name_bytes + ONE + varint_bytes(size) + size)
            out[position] = 0x08
            position = put_varint(out, position + ONE, iid)
            out[position] = 0x32 if kind == 0 else 0x4A  # string_value, legacy_json_value
            position = put_varint(out, position + ONE, size)
            for byte in range(value + 2, after):
                out[position] = data[byte]
                position += ONE
            if begins_span:
                position = put_flow(out, position, data, begin, after)
        begin = after
    return position


@numba.njit(nogil=True)
def attribute_bytes(sources, offsets, row):  # type: ignore[no-untyped-def]
    """Size of the attributes of a row."""
    if len(sources) == 0 or sources[row] < 0:
        return np.int64(0)
    return offsets[sources[row] + 1] - offsets[sources[row]]


@numba.njit(nogil=True)
def put_annotated(  # type: ignore[no-untyped-def]
    out, packet, delta_ns, bodies, lengths, row, tracks, track, source, offsets, data, first_keys, key_iids
):
    """Writes one packet with annotations; returns the position after it."""
    out[packet] = 0x0A
    out[packet + np.uint64(4)] = 0x40
    position = put_delta(out, packet + np.uint64(5), np.uint64(delta_ns))
    put_word(out, position, bodies[row, 0])  # what comes before the size, and is overwritten behind it
    event = position + np.uint64(6)
    for byte in range(4, lengths[row]):
        word = bodies[row, byte // 8]
        out[event + np.uint64(byte - 4)] = np.uint8(word >> np.uint64(8 * (byte % 8)))
    position = event + np.uint64(lengths[row] - 4)
    position = put_annotations(out, position, source, offsets, data, first_keys, key_iids, row != END_ROW)
    if track != DEFAULT_TRACK:
        position = put_track_field(out, position, tracks, track)
    put_size(out, event - np.uint64(3), position - event)
    put_size(out, packet + ONE, position - packet - np.uint64(4))
    return position


@numba.njit(nogil=True)
def start_event(out, packet, delta_ns, event_type, size_bytes):  # type: ignore[no-untyped-def]
    """Writes the start of a packet up to the type of its event, but for the sizes of both, which have one byte or
    three; returns where the event begins, which is two bytes before the position after that."""
    out[packet] = 0x0A
    position = packet + ONE + size_bytes
    out[position] = 0x40
    position = put_delta(out, position + ONE, np.uint64(delta_ns))
    out[position] = 0x50  # trusted_packet_sequence_id
    out[position + ONE] = SEQUENCE_ID
    out[position + np.uint64(2)] = 0x5A  # track_event
    event = position + np.uint64(3) + size_bytes
    out[event] = 0x48  # type
    out[event + ONE] = event_type
    return event


@numba.njit(nogil=True)
def start_instant(out, packet, delta_ns, name_iid, category_iid, size_bytes):  # type: ignore[no-untyped-def]
    """As `start_event`, for an instant, with its name and its category; returns where the event begins, and the
    position after these."""
    event = start_event(out, packet, delta_ns, np.uint8(3), size_bytes)  # TYPE_INSTANT
    position = event + np.uint64(2)
    out[position] = 0x50  # name_iid
    position = put_varint(out, position + ONE, name_iid)
    out[position] = 0x18  # category_iids
    return event, put_varint(out, position + ONE, np.uint64(category_iid))


@numba.njit(nogil=True)
def put_source(out, position, iid):  # type: ignore[no-untyped-def]
    """Writes the source location of a scope; returns the position after it."""
    out[position] = 0x90  # source_location_iid: (34 << 3) is 0x110
    out[position + ONE] = 0x02
    return put_varint(out, position + np.uint64(2), iid)


@numba.njit(nogil=True)
def finish_event(out, packet, event, position, size_bytes):  # type: ignore[no-untyped-def]
    """Writes the sizes of an event that ends at a position, and of its packet."""
    event_size, packet_size = position - event, position - packet - ONE - size_bytes
    if size_bytes == ONE:
        out[event - ONE] = np.uint8(event_size)
        out[packet + ONE] = np.uint8(packet_size)
    else:
        put_size(out, event - size_bytes, event_size)
        put_size(out, packet + ONE, packet_size)
