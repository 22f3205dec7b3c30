"""Columns of spans and events into bytes of packets: the compiled loops.

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

A kernel stops when the buffer may not hold one more packet, and goes on from there in the next.
"""

import numba
import numpy as np
import numpy.typing as npt

from udtf.lake.attributes import entry_end, number_at
from udtf.lake.matching import OPEN

SEQUENCE_ID = 1
"""The one packet sequence of a trace; under 128, so that it takes one byte."""
END_ROW = 0
MAX_EVENT_BYTES = 64
"""Room that one event needs: 2 + 1 + 10 before the body, 24 of body, 16 of track, and some."""
TRACK_FIELD_BYTES = 10
"""Length of a `track_uuid` field with one of our uuids."""
DEFAULT_TRACK = -1
"""Stands for the track of events that name none."""
MAX_OPEN = 512
"""Most spans that are open on one track. The trace processor drops what begins above them, silently, and then takes its
end for that of the span below."""
MAX_IID = (1 << 28) - 1
"""Greatest interned id whose varint takes four bytes, as bodies assume."""
_SPAN_ID, _PARENT_SPAN_ID = (np.frombuffer(key, np.uint8) for key in (b"span_id", b"parent_span_id"))
"""Keys of attributes by which spans of different processes are linked: of the one that calls, and the one called."""
LEVEL_IID = 1
"""Id of the name of an annotation, the level of a line of a log; its values are interned by their numbers."""

Words = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int64]

_BYTES = "Array(uint8, 1, 'C')"
_TABLE = "Array(uint8, 2, 'C')"
_WORDS = "Array(uint64, 2, 'C', readonly=True)"
_INT64S = "Array(int64, 1, 'C', readonly=True)"
_INT32S = "Array(int32, 1, 'C', readonly=True)"
_FLOATS = "Array(float64, 1, 'C', readonly=True)"
_STACK = "Array(int64, 1, 'C')"
_DATA = "Array(uint8, 1, 'C', readonly=True)"
_ANNOTATIONS = f"{_INT64S}, {_INT64S}, {_DATA}, {_INT64S}, {_INT32S}"
"""Sources, offsets, data, first keys, ids of keys: see `annotations.py`."""

_ABANDONED = -1
"""Instead of the depth of the topmost span of those that were abandoned: less than every depth."""

_MAX_VARINT_VALUE = float((1 << 49) - 1)
"""A greater number takes no less as a double."""

_ONE = np.uint64(1)
_WORD = np.uint64(8)


@numba.njit(nogil=True)
def put_varint(out, position, value):  # type: ignore[no-untyped-def]
    """Writes an unsigned number, seven bits a byte; returns the position after it."""
    while value >= np.uint64(0x80):
        out[position] = np.uint8(value | np.uint64(0x80))
        value >>= np.uint64(7)
        position += _ONE
    out[position] = np.uint8(value)
    return position + _ONE


@numba.njit(nogil=True)
def _put_delta(out, position, value):  # type: ignore[no-untyped-def]
    """`put_varint`, quick for less than 2**28 (a quarter of a second).

    The length of a delta is hard to guess, so nothing branches on it: four bytes are written always.
    """
    if value >= np.uint64(1 << 28):
        return put_varint(out, position, value)
    size = (
        _ONE
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
    more = np.uint64(0x80808080) & ((_ONE << (np.uint64(8) * size - np.uint64(8))) - _ONE)
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
def _put_word(out, position, word):  # type: ignore[no-untyped-def]
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
def _put_event(out, packet, delta_ns, bodies, lengths, row):  # type: ignore[no-untyped-def]
    """Writes one packet at position `packet`; returns the position after it.

    A negative delta wraps around to ten bytes, and readers, who add modulo 2**64, come out right.
    """
    out[packet] = 0x0A
    out[packet + np.uint64(2)] = 0x40
    position = _put_delta(out, packet + np.uint64(3), np.uint64(delta_ns))
    _put_word(out, position, bodies[row, 0])
    _put_word(out, position + _WORD, bodies[row, 1])
    _put_word(out, position + np.uint64(16), bodies[row, 2])
    position += np.uint64(lengths[row])
    out[packet + _ONE] = np.uint8(position - packet - np.uint64(2))
    return position


@numba.njit(nogil=True)
def _put_track_field(out, position, tracks, track):  # type: ignore[no-untyped-def]
    """Writes a `track_uuid` field; returns the position after it."""
    _put_word(out, position, tracks[track, 0])
    _put_word(out, position + _WORD, tracks[track, 1])
    return position + np.uint64(TRACK_FIELD_BYTES)


@numba.njit(nogil=True)
def _put_track(out, packet, position, body_length, tracks, track):  # type: ignore[no-untyped-def]
    """Adds the `track_uuid` field to the packet that ends at `position`; returns the position after it."""
    event_size = position - np.uint64(body_length) + np.uint64(3)
    out[event_size] = np.uint8(out[event_size] + np.uint8(TRACK_FIELD_BYTES))
    position = _put_track_field(out, position, tracks, track)
    out[packet + _ONE] = np.uint8(position - packet - np.uint64(2))
    return position


@numba.njit(nogil=True)
def _put_size(out, position, size):  # type: ignore[no-untyped-def]
    """Writes a size in three bytes, whatever it is."""
    out[position] = np.uint8(size & np.uint64(0x7F) | np.uint64(0x80))
    out[position + _ONE] = np.uint8(size >> np.uint64(7) & np.uint64(0x7F) | np.uint64(0x80))
    out[position + np.uint64(2)] = np.uint8(size >> np.uint64(14))


@numba.njit(nogil=True)
def varint_bytes(value):  # type: ignore[no-untyped-def]
    """How many bytes `put_varint` writes."""
    size = _ONE
    while value >= np.uint64(0x80):
        value >>= np.uint64(7)
        size += _ONE
    return size


@numba.njit(nogil=True)
def _put_flow(out, position, data, begin, after):  # type: ignore[no-untyped-def]
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
    return _put_flow_id(out, position, flow, is_end)


@numba.njit(nogil=True)
def _put_flow_id(out, position, flow, is_end):  # type: ignore[no-untyped-def]
    """Writes the id of a flow that begins or ends at an event; returns the position after it."""
    # flow_ids: (47 << 3 | 1) is 0x179; terminating_flow_ids: (48 << 3 | 1) is 0x181
    out[position] = 0x81 if is_end else 0xF9
    out[position + _ONE] = 0x03 if is_end else 0x02
    _put_word(out, position + np.uint64(2), np.uint64(flow))
    return position + np.uint64(10)


@numba.njit(nogil=True)
def _put_annotations(  # type: ignore[no-untyped-def]
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
        name_bytes = _ONE + varint_bytes(iid)
        out[position] = 0x22  # debug_annotations
        position += _ONE
        if kind == 1:
            number = number_at(data, value)
            position = put_varint(out, position, name_bytes + _ONE + varint_bytes(number))
            out[position] = 0x08  # name_iid
            position = put_varint(out, position + _ONE, iid)
            out[position] = 0x20  # int_value
            position = put_varint(out, position + _ONE, number)
        elif kind == 2:
            position = put_varint(out, position, name_bytes + np.uint64(9))
            out[position] = 0x08
            position = put_varint(out, position + _ONE, iid)
            out[position] = 0x29  # double_value
            _put_word(out, position + _ONE, number_at(data, value))
            position += np.uint64(9)
        elif kind == 3:
            position = put_varint(out, position, name_bytes + np.uint64(2))
            out[position] = 0x08
            position = put_varint(out, position + _ONE, iid)
            out[position] = 0x10  # bool_value
            out[position + _ONE] = np.uint8(data[value] != 0)
            position += np.uint64(2)
        else:
            size = np.uint64(after - value - 2)
            position = put_varint(out, position, name_bytes + _ONE + varint_bytes(size) + size)
            out[position] = 0x08
            position = put_varint(out, position + _ONE, iid)
            out[position] = 0x32 if kind == 0 else 0x4A  # string_value, legacy_json_value
            position = put_varint(out, position + _ONE, size)
            for byte in range(value + 2, after):
                out[position] = data[byte]
                position += _ONE
            if begins_span:
                position = _put_flow(out, position, data, begin, after)
        begin = after
    return position


@numba.njit(nogil=True)
def _attribute_bytes(sources, offsets, row):  # type: ignore[no-untyped-def]
    """Size of the attributes of a row."""
    if len(sources) == 0 or sources[row] < 0:
        return np.int64(0)
    return offsets[sources[row] + 1] - offsets[sources[row]]


@numba.njit(nogil=True)
def _put_annotated(  # type: ignore[no-untyped-def]
    out, packet, delta_ns, bodies, lengths, row, tracks, track, source, offsets, data, first_keys, key_iids
):
    """Writes one packet with annotations; returns the position after it."""
    out[packet] = 0x0A
    out[packet + np.uint64(4)] = 0x40
    position = _put_delta(out, packet + np.uint64(5), np.uint64(delta_ns))
    _put_word(out, position, bodies[row, 0])  # what comes before the size, and is overwritten behind it
    event = position + np.uint64(6)
    for byte in range(4, lengths[row]):
        word = bodies[row, byte // 8]
        out[event + np.uint64(byte - 4)] = np.uint8(word >> np.uint64(8 * (byte % 8)))
    position = event + np.uint64(lengths[row] - 4)
    position = _put_annotations(out, position, source, offsets, data, first_keys, key_iids, row != END_ROW)
    if track != DEFAULT_TRACK:
        position = _put_track_field(out, position, tracks, track)
    _put_size(out, event - np.uint64(3), position - event)
    _put_size(out, packet + _ONE, position - packet - np.uint64(4))
    return position


@numba.njit(nogil=True)
def _start_event(out, packet, delta_ns, event_type, size_bytes):  # type: ignore[no-untyped-def]
    """Writes the start of a packet up to the type of its event, but for the sizes of both, which have one byte or
    three; returns where the event begins, which is two bytes before the position after that."""
    out[packet] = 0x0A
    position = packet + _ONE + size_bytes
    out[position] = 0x40
    position = _put_delta(out, position + _ONE, np.uint64(delta_ns))
    out[position] = 0x50  # trusted_packet_sequence_id
    out[position + _ONE] = SEQUENCE_ID
    out[position + np.uint64(2)] = 0x5A  # track_event
    event = position + np.uint64(3) + size_bytes
    out[event] = 0x48  # type
    out[event + _ONE] = event_type
    return event


@numba.njit(nogil=True)
def _start_instant(out, packet, delta_ns, name_iid, category_iid, size_bytes):  # type: ignore[no-untyped-def]
    """As `_start_event`, for an instant, with its name and its category; returns where the event begins, and the
    position after these."""
    event = _start_event(out, packet, delta_ns, np.uint8(3), size_bytes)  # TYPE_INSTANT
    position = event + np.uint64(2)
    out[position] = 0x50  # name_iid
    position = put_varint(out, position + _ONE, name_iid)
    out[position] = 0x18  # category_iids
    return event, put_varint(out, position + _ONE, np.uint64(category_iid))


@numba.njit(nogil=True)
def _put_source(out, position, iid):  # type: ignore[no-untyped-def]
    """Writes the source location of a scope; returns the position after it."""
    out[position] = 0x90  # source_location_iid: (34 << 3) is 0x110
    out[position + _ONE] = 0x02
    return put_varint(out, position + np.uint64(2), iid)


@numba.njit(nogil=True)
def _finish_event(out, packet, event, position, size_bytes):  # type: ignore[no-untyped-def]
    """Writes the sizes of an event that ends at a position, and of its packet."""
    event_size, packet_size = position - event, position - packet - _ONE - size_bytes
    if size_bytes == _ONE:
        out[event - _ONE] = np.uint8(event_size)
        out[packet + _ONE] = np.uint8(packet_size)
    else:
        _put_size(out, event - size_bytes, event_size)
        _put_size(out, packet + _ONE, packet_size)


@numba.njit(
    f"Tuple(({_TABLE}, {_STACK}))({_INT32S}, {_INT32S})",
    nogil=True,
    cache=True,
)
def event_bodies(iids, category_iids):  # type: ignore[no-untyped-def]
    """The bodies of the events of scopes, and their lengths in bytes; rows as the module describes.

    Args: the interned ids of each scope and of its category, 1 to `MAX_IID`.
    """
    bodies = np.zeros((len(iids) + 1, 24), np.uint8)
    lengths = np.empty(len(iids) + 1, np.int64)
    for row in range(len(iids) + 1):
        body = bodies[row]
        body[0] = 0x50  # trusted_packet_sequence_id
        body[1] = SEQUENCE_ID
        body[2] = 0x5A  # track_event
        body[4] = 0x48  # type
        if row == END_ROW:
            body[5] = 2  # TYPE_SLICE_END
            position = np.uint64(6)
        else:
            body[5] = 1  # TYPE_SLICE_BEGIN
            iid = np.uint64(iids[row - 1])
            body[6] = 0x50  # name_iid
            position = put_varint(body, np.uint64(7), iid)
            body[position] = 0x18  # category_iids
            position = put_varint(body, position + _ONE, np.uint64(category_iids[row - 1]))
            position = _put_source(body, position, iid)
        body[3] = np.uint8(position - np.uint64(4))
        lengths[row] = np.int64(position)
    return bodies, lengths


@numba.njit(
    f"UniTuple(int64, 5)({_INT64S}, {_INT64S}, {_INT32S}, {_INT32S}, int64,"
    f" {_STACK}, {_STACK}, int64, int64, {_WORDS}, {_INT64S}, {_WORDS}, {_ANNOTATIONS}, {_BYTES})",
    nogil=True,
    cache=True,
)
def encode_spans(  # type: ignore[no-untyped-def]
    begin_ns,
    end_ns,
    depths,
    iids,
    first,
    stack_depths,
    stack_ends,
    stack_size,
    last_ns,
    bodies,
    lengths,
    tracks,
    sources,
    offsets,
    data,
    first_keys,
    key_iids,
    out,
):
    """Begins and ends of spans that come in order of their begins.

    A begin first ends the open spans at its depth or deeper, the deepest first. Depth decides, never time: a child
    and a sibling may begin at the nanosecond where the span before ends.

    A span that is due to end but has no end is abandoned, and with it those below it, which have none either. They
    stay open in the trace, so they stay on the stack: a place on it is the place that the trace shows. Each
    `MAX_OPEN` of these places are a track, the lowest ones the default track.

    Args: the spans, of which those before row `first` are done; depths and ends of the open spans, bottom first, with
        room for all that the tracks hold; how many there are; the time of the event before; bodies and lengths of
        the events; the tracks after the default one; annotations; the buffer.

    Returns: the first row that is not done (its ends may be), bytes written, time of the last event, open spans, and
        whether the next begin needs one more track, rather than another buffer.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    room = MAX_OPEN * (len(tracks) + 1)
    position = np.uint64(0)
    for row in range(first, len(begin_ns)):
        depth = depths[row]
        while stack_size > 0 and stack_depths[stack_size - 1] >= depth:
            if position > limit:
                return row, np.int64(position), last_ns, stack_size, 0
            time_ns = stack_ends[stack_size - 1]
            if time_ns == OPEN:
                stack_depths[stack_size - 1] = _ABANDONED
                break
            stack_size -= 1
            packet = position
            position = _put_event(out, packet, time_ns - last_ns, bodies, lengths, END_ROW)
            if stack_size >= MAX_OPEN:
                position = _put_track(out, packet, position, lengths[END_ROW], tracks, stack_size // MAX_OPEN - 1)
            last_ns = time_ns
        annotated = _attribute_bytes(sources, offsets, row)
        if position + np.uint64(2 * annotated) > limit:
            return row, np.int64(position), last_ns, stack_size, 0
        if stack_size == room:
            return row, np.int64(position), last_ns, stack_size, 1
        time_ns = begin_ns[row]
        body = iids[row]
        packet = position
        if annotated:
            position = _put_annotated(
                out, packet, time_ns - last_ns, bodies, lengths, body, tracks, stack_size // MAX_OPEN - 1,
                sources[row], offsets, data, first_keys, key_iids,
            )  # fmt: skip
        else:
            position = _put_event(out, packet, time_ns - last_ns, bodies, lengths, body)
            if stack_size >= MAX_OPEN:
                position = _put_track(out, packet, position, lengths[body], tracks, stack_size // MAX_OPEN - 1)
        last_ns = time_ns
        stack_depths[stack_size] = depth
        stack_ends[stack_size] = end_ns[row]
        stack_size += 1
    return len(begin_ns), np.int64(position), last_ns, stack_size, 0


@numba.njit(
    f"UniTuple(int64, 3)({_INT64S}, {_INT32S}, {_INT64S}, int64, int64, {_WORDS}, {_INT64S}, {_WORDS},"
    f" {_ANNOTATIONS}, {_BYTES})",
    nogil=True,
    cache=True,
)
def encode_events(  # type: ignore[no-untyped-def]
    times_ns,
    rows,
    lanes,
    first,
    last_ns,
    bodies,
    lengths,
    tracks,
    sources,
    offsets,
    data,
    first_keys,
    key_iids,
    out,
):
    """Events in order, each on a track of its own choice.

    Args: the events (time, row of its body, row of its track or `DEFAULT_TRACK`), of which those before index `first`
        are done; the time of the event before; bodies and lengths of the events; tracks, the first
        `TRACK_FIELD_BYTES` of 16 bytes each; annotations; the buffer.

    Returns: the first event that is not done, bytes written, time of the last event.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    position = np.uint64(0)
    for event in range(first, len(times_ns)):
        annotated = _attribute_bytes(sources, offsets, event)
        if position + np.uint64(2 * annotated) > limit:
            return event, np.int64(position), last_ns
        packet = position
        delta_ns = times_ns[event] - last_ns
        last_ns = times_ns[event]
        if annotated:
            position = _put_annotated(
                out, packet, delta_ns, bodies, lengths, rows[event], tracks, lanes[event],
                sources[event], offsets, data, first_keys, key_iids,
            )  # fmt: skip
            continue
        position = _put_event(out, packet, delta_ns, bodies, lengths, rows[event])
        if lanes[event] != DEFAULT_TRACK:
            position = _put_track(out, packet, position, lengths[rows[event]], tracks, lanes[event])
    return len(times_ns), np.int64(position), last_ns


@numba.njit(
    f"UniTuple(int64, 3)({_INT64S}, {_INT32S}, {_INT32S}, {_INT32S}, {_INT32S}, bool_, int64, int64,"
    f" {_ANNOTATIONS}, {_BYTES})",
    nogil=True,
    cache=True,
)
def encode_logs(  # type: ignore[no-untyped-def]
    times_ns,
    levels,
    message_iids,
    iids,
    category_iids,
    is_of_thread,
    first,
    last_ns,
    sources,
    offsets,
    data,
    first_keys,
    key_iids,
    out,
):
    """Lines of a log, in order, as instants on the default track.

    Args: the lines (time, level or 0 if there is none, ids of message and scope), of which those before index `first`
        are done; the ids of categories by scope; whether the track is that of a thread, which lines for the viewer's
        table of logs must be on; the time of the event before; annotations; the buffer.

    Returns: the first line that is not done, bytes written, time of the last event.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    position = np.uint64(0)
    for line in range(first, len(times_ns)):
        annotated = _attribute_bytes(sources, offsets, line)
        if position + np.uint64(2 * annotated) > limit:
            return line, np.int64(position), last_ns
        size_bytes = np.uint64(3) if annotated else _ONE
        packet, iid = position, np.uint64(iids[line])
        message, level = np.uint64(message_iids[line]), np.uint8(levels[line])
        delta_ns = times_ns[line] - last_ns
        last_ns = times_ns[line]
        event, position = _start_instant(out, packet, delta_ns, message, category_iids[iid], size_bytes)
        if level:
            out[position] = 0x22  # debug_annotations
            out[position + _ONE] = 5
            out[position + np.uint64(2)] = 0x08  # name_iid
            out[position + np.uint64(3)] = LEVEL_IID
            out[position + np.uint64(4)] = 0x88  # string_value_iid: (17 << 3) is 0x88
            out[position + np.uint64(5)] = 0x01
            out[position + np.uint64(6)] = level
            position += np.uint64(7)
        if level and is_of_thread:
            out[position] = 0xAA  # log_message: (21 << 3 | 2) is 0xAA
            out[position + _ONE] = 0x01
            body = position + np.uint64(3)
            out[body] = 0x08  # source_location_iid
            position = put_varint(out, body + _ONE, iid)
            out[position] = 0x10  # body_iid
            position = put_varint(out, position + _ONE, message)
            out[position] = 0x18  # prio
            out[position + _ONE] = level + np.uint8(1)
            position += np.uint64(2)
            out[body - _ONE] = np.uint8(position - body)
        else:
            position = _put_source(out, position, iid)
        if annotated:
            position = _put_annotations(out, position, sources[line], offsets, data, first_keys, key_iids, False)
        _finish_event(out, packet, event, position, size_bytes)
    return len(times_ns), np.int64(position), last_ns


@numba.njit(
    f"UniTuple(int64, 3)({_INT64S}, {_INT64S}, {_INT32S}, {_INT32S}, {_INT64S}, bool_, int64, int64, {_WORDS},"
    f" {_ANNOTATIONS}, {_BYTES})",
    nogil=True,
    cache=True,
)
def encode_links(  # type: ignore[no-untyped-def]
    times_ns,
    lanes,
    iids,
    category_iids,
    flows,
    is_end,
    first,
    last_ns,
    tracks,
    sources,
    offsets,
    data,
    first_keys,
    key_iids,
    out,
):
    """One end of links, in order, as instants, each with the id of its flow.

    Args: the links (time, row of the track or `DEFAULT_TRACK`, id of the scope), of which those before index `first`
        are done; the ids of categories by scope; ids of flows; whether the flows end here; the time of the event
        before; tracks as for `encode_events`; annotations; the buffer.

    Returns: the first link that is not done, bytes written, time of the last event.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    position = np.uint64(0)
    for link in range(first, len(times_ns)):
        annotated = _attribute_bytes(sources, offsets, link)
        if position + np.uint64(2 * annotated) > limit:
            return link, np.int64(position), last_ns
        size_bytes = np.uint64(3) if annotated else _ONE
        packet, iid = position, np.uint64(iids[link])
        delta_ns = times_ns[link] - last_ns
        last_ns = times_ns[link]
        event, position = _start_instant(out, packet, delta_ns, iid, category_iids[iid], size_bytes)
        position = _put_source(out, position, iid)
        position = _put_flow_id(out, position, flows[link], is_end)
        if lanes[link] != DEFAULT_TRACK:
            position = _put_track_field(out, position, tracks, lanes[link])
        if annotated:
            position = _put_annotations(out, position, sources[link], offsets, data, first_keys, key_iids, False)
        _finish_event(out, packet, event, position, size_bytes)
    return len(times_ns), np.int64(position), last_ns


@numba.njit(f"UniTuple(int64, 3)({_INT64S}, {_FLOATS}, int64, int64, {_BYTES})", nogil=True, cache=True)
def encode_values(times_ns, values, first, last_ns, out):  # type: ignore[no-untyped-def]
    """Values of a counter, in order, on the default track; whole numbers, which are most, as integers.

    Args: the values, of which those before index `first` are done; the time of the event before; the buffer.

    Returns: the first value that is not done, bytes written, time of the last event.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    bits = values.view(np.uint64)
    position = np.uint64(0)
    for row in range(first, len(times_ns)):
        if position > limit:
            return row, np.int64(position), last_ns
        packet, value = position, values[row]
        event = _start_event(out, packet, times_ns[row] - last_ns, np.uint8(4), _ONE)  # TYPE_COUNTER
        last_ns = times_ns[row]
        position = event + np.uint64(2)
        if 0 <= value <= _MAX_VARINT_VALUE and value == np.floor(value):
            out[position] = 0xF0  # counter_value: (30 << 3) is 0xF0
            out[position + _ONE] = 0x01
            position = put_varint(out, position + np.uint64(2), np.uint64(value))
        else:
            out[position] = 0xE1  # double_counter_value: (44 << 3 | 1) is 0x161
            out[position + _ONE] = 0x02
            _put_word(out, position + np.uint64(2), bits[row])
            position += np.uint64(10)
        _finish_event(out, packet, event, position, _ONE)
    return len(times_ns), np.int64(position), last_ns
