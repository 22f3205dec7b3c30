"""Columns of spans and events into bytes of packets: the compiled loops (see `packets` for what they write).

A kernel stops when the buffer may not hold one more packet, and goes on from there in the next.
"""

import numba
import numpy as np
import numpy.typing as npt

from udtf.arrow.addresses import int32s_at, int64s_at
from udtf.lake.matching import OPEN
from udtf.perfetto.packets import (
    DEFAULT_TRACK,
    END_ROW,
    ONE,
    SEQUENCE_ID,
    attribute_bytes,
    finish_event,
    put_annotated,
    put_annotations,
    put_event,
    put_flow_id,
    put_source,
    put_track,
    put_track_field,
    put_varint,
    put_word,
    start_event,
    start_instant,
)

MAX_EVENT_BYTES = 64
"""Room that one event needs: 2 + 1 + 10 before the body, 24 of body, 16 of track, and some."""
MAX_OPEN = 512
"""Most spans that are open on one track. The trace processor drops what begins above them, silently, and then takes its
end for that of the span below."""
MAX_IID = (1 << 28) - 1
"""Greatest interned id whose varint takes four bytes, as bodies assume."""
LEVEL_IID = 1
"""Id of the name of an annotation, the level of a line of a log; its values are interned by their numbers."""
DONE, NEEDS_BUFFER, NEEDS_TRACK, NO_SCOPE = STOPS = range(4)
"""Why `encode_spans` stops: all is written, there is no room for the next event or on the tracks, or the next span has
a scope that its partition does not have."""

Words = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int64]

_BYTES = "Array(uint8, 1, 'C')"
_TABLE = "Array(uint8, 2, 'C')"
_WORDS = "Array(uint64, 2, 'C', readonly=True)"
_INT64S = "Array(int64, 1, 'C', readonly=True)"
_INT32S = "Array(int32, 1, 'C', readonly=True)"
_FLOATS = "Array(float64, 1, 'C', readonly=True)"
_STACK = "Array(int64, 1, 'C')"
_ADDRESSES = _SECTIONS = "Array(int64, 2, 'C', readonly=True)"
_DATA = "Array(uint8, 1, 'C', readonly=True)"
_ATTRIBUTES = f"{_INT64S}, {_DATA}, {_INT64S}, {_INT32S}"
"""Offsets, data, first keys, ids of keys: see `annotations.py`."""
_ANNOTATIONS = f"{_INT64S}, {_ATTRIBUTES}"
"""The same after the sources."""

_ABANDONED = -1
"""Instead of the depth of the topmost span of those that were abandoned: less than every depth."""

_MAX_VARINT_VALUE = float((1 << 49) - 1)
"""A greater number takes no less as a double."""


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
            position = put_varint(body, position + ONE, np.uint64(category_iids[row - 1]))
            position = put_source(body, position, iid)
        body[3] = np.uint8(position - np.uint64(4))
        lengths[row] = np.int64(position)
    return bodies, lengths


@numba.njit(
    f"UniTuple(int64, 6)({_ADDRESSES}, {_INT64S}, {_INT32S}, {_INT64S}, {_SECTIONS}, int64, int64,"
    f" {_STACK}, {_STACK}, int64, int64, {_WORDS}, {_INT64S}, {_WORDS}, {_ATTRIBUTES}, {_BYTES})",
    nogil=True,
    cache=True,
)
def encode_spans(  # type: ignore[no-untyped-def]
    addresses,
    scope_offsets,
    iids,
    first_sources,
    sections,
    first_section,
    first_row,
    stack_depths,
    stack_ends,
    stack_size,
    last_ns,
    bodies,
    lengths,
    tracks,
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

    Args: the spans, as `span_table.SpanTable` has them; sections of them, and of which the first row that is not done
        is; depths and ends of the open spans, bottom first, with room for all that the tracks hold; how many there
        are; the time of the event before; bodies and lengths of the events; the tracks after the default one;
        attributes; the buffer.

    Returns: the section and the row that is not done (its ends may be), bytes written, time of the last event, open
        spans, and why it stopped: one of `STOPS`.
    """
    limit = np.uint64(len(out) - MAX_EVENT_BYTES)
    room = MAX_OPEN * (len(tracks) + 1)
    position = np.uint64(0)
    row = first_row
    for section in range(first_section, len(sections)):
        part, begin, end = sections[section]
        begins_ns, ends_ns = int64s_at(addresses[part, 0], end), int64s_at(addresses[part, 1], end)
        depths, codes = int32s_at(addresses[part, 2], end), int32s_at(addresses[part, 3], end)
        first_scope, nb_scopes = scope_offsets[part], scope_offsets[part + 1] - scope_offsets[part]
        if section != first_section:
            row = begin
        while row < end:
            depth = depths[row]
            while stack_size > 0 and stack_depths[stack_size - 1] >= depth:
                if position > limit:
                    return section, row, np.int64(position), last_ns, stack_size, NEEDS_BUFFER
                time_ns = stack_ends[stack_size - 1]
                if time_ns == OPEN:
                    stack_depths[stack_size - 1] = _ABANDONED
                    break
                stack_size -= 1
                packet = position
                position = put_event(out, packet, time_ns - last_ns, bodies, lengths, END_ROW)
                if stack_size >= MAX_OPEN:
                    position = put_track(out, packet, position, lengths[END_ROW], tracks, stack_size // MAX_OPEN - 1)
                last_ns = time_ns
            annotated, source = 0, first_sources[part] + row
            if first_sources[part] >= 0:
                annotated = offsets[source + 1] - offsets[source]
            if position + np.uint64(2 * annotated) > limit:
                return section, row, np.int64(position), last_ns, stack_size, NEEDS_BUFFER
            if stack_size == room:
                return section, row, np.int64(position), last_ns, stack_size, NEEDS_TRACK
            code = codes[row]
            if not 0 <= code < nb_scopes:
                return section, row, np.int64(position), last_ns, stack_size, NO_SCOPE
            body = iids[first_scope + code]
            time_ns = begins_ns[row]
            packet = position
            if annotated:
                position = put_annotated(
                    out, packet, time_ns - last_ns, bodies, lengths, body, tracks, stack_size // MAX_OPEN - 1,
                    source, offsets, data, first_keys, key_iids,
                )  # fmt: skip
            else:
                position = put_event(out, packet, time_ns - last_ns, bodies, lengths, body)
                if stack_size >= MAX_OPEN:
                    position = put_track(out, packet, position, lengths[body], tracks, stack_size // MAX_OPEN - 1)
            last_ns = time_ns
            stack_depths[stack_size] = depth
            stack_ends[stack_size] = ends_ns[row]
            stack_size += 1
            row += 1
    return len(sections), 0, np.int64(position), last_ns, stack_size, DONE


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
        annotated = attribute_bytes(sources, offsets, event)
        if position + np.uint64(2 * annotated) > limit:
            return event, np.int64(position), last_ns
        packet = position
        delta_ns = times_ns[event] - last_ns
        last_ns = times_ns[event]
        if annotated:
            position = put_annotated(
                out, packet, delta_ns, bodies, lengths, rows[event], tracks, lanes[event],
                sources[event], offsets, data, first_keys, key_iids,
            )  # fmt: skip
            continue
        position = put_event(out, packet, delta_ns, bodies, lengths, rows[event])
        if lanes[event] != DEFAULT_TRACK:
            position = put_track(out, packet, position, lengths[rows[event]], tracks, lanes[event])
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
        annotated = attribute_bytes(sources, offsets, line)
        if position + np.uint64(2 * annotated) > limit:
            return line, np.int64(position), last_ns
        size_bytes = np.uint64(3) if annotated else ONE
        packet, iid = position, np.uint64(iids[line])
        message, level = np.uint64(message_iids[line]), np.uint8(levels[line])
        delta_ns = times_ns[line] - last_ns
        last_ns = times_ns[line]
        event, position = start_instant(out, packet, delta_ns, message, category_iids[iid], size_bytes)
        if level:
            out[position] = 0x22  # debug_annotations
            out[position + ONE] = 5
            out[position + np.uint64(2)] = 0x08  # name_iid
            out[position + np.uint64(3)] = LEVEL_IID
            out[position + np.uint64(4)] = 0x88  # string_value_iid: (17 << 3) is 0x88
            out[position + np.uint64(5)] = 0x01
            out[position + np.uint64(6)] = level
            position += np.uint64(7)
        if level and is_of_thread:
            out[position] = 0xAA  # log_message: (21 << 3 | 2) is 0xAA
            out[position + ONE] = 0x01
            body = position + np.uint64(3)
            out[body] = 0x08  # source_location_iid
            position = put_varint(out, body + ONE, iid)
            out[position] = 0x10  # body_iid
            position = put_varint(out, position + ONE, message)
            out[position] = 0x18  # prio
            out[position + ONE] = level + np.uint8(1)
            position += np.uint64(2)
            out[body - ONE] = np.uint8(position - body)
        else:
            position = put_source(out, position, iid)
        if annotated:
            position = put_annotations(out, position, sources[line], offsets, data, first_keys, key_iids, False)
        finish_event(out, packet, event, position, size_bytes)
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
        annotated = attribute_bytes(sources, offsets, link)
        if position + np.uint64(2 * annotated) > limit:
            return link, np.int64(position), last_ns
        size_bytes = np.uint64(3) if annotated else ONE
        packet, iid = position, np.uint64(iids[link])
        delta_ns = times_ns[link] - last_ns
        last_ns = times_ns[link]
        event, position = start_instant(out, packet, delta_ns, iid, category_iids[iid], size_bytes)
        position = put_source(out, position, iid)
        position = put_flow_id(out, position, flows[link], is_end)
        if lanes[link] != DEFAULT_TRACK:
            position = put_track_field(out, position, tracks, lanes[link])
        if annotated:
            position = put_annotations(out, position, sources[link], offsets, data, first_keys, key_iids, False)
        finish_event(out, packet, event, position, size_bytes)
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
        event = start_event(out, packet, times_ns[row] - last_ns, np.uint8(4), ONE)  # TYPE_COUNTER
        last_ns = times_ns[row]
        position = event + np.uint64(2)
        if 0 <= value <= _MAX_VARINT_VALUE and value == np.floor(value):
            out[position] = 0xF0  # counter_value: (30 << 3) is 0xF0
            out[position + ONE] = 0x01
            position = put_varint(out, position + np.uint64(2), np.uint64(value))
        else:
            out[position] = 0xE1  # double_counter_value: (44 << 3 | 1) is 0x161
            out[position + ONE] = 0x02
            put_word(out, position + np.uint64(2), bits[row])
            position += np.uint64(10)
        finish_event(out, packet, event, position, ONE)
    return len(times_ns), np.int64(position), last_ns
