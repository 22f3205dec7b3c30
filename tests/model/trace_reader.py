"""Perfetto bytes to slices by the official message classes: a strict stand-in for the trace processor.

It knows what our traces may use: interned names and source locations, packet defaults, incremental clocks, tracks
of processes and threads and those below them, begin and end events and instants. Anything dubious raises, where
the trace processor would drop it silently: an id that was not interned before, an end with nothing open, a clock
without a snapshot, an event on a track that nobody described.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

TRACE_CLOCK = 6
"""BOOTTIME, the clock that a trace's times are in."""
MAX_DEPTH = 512
"""Slices below so many others are dropped by the trace processor, which then takes their ends for others'."""
FIRST_SEQUENCE_CLOCK, LAST_SEQUENCE_CLOCK = 64, 127

T = TypeVar("T")


class TraceError(Exception):
    """The bytes are not a trace, or the trace processor would lose something of it."""


@dataclass(eq=False)
class Slice:
    """A slice of a track and its place in the stack; `duration_ns` is -1 while it is unfinished."""

    begin_ns: int
    name: str
    depth: int
    parent: "Slice | None"
    source: tuple[str, int] | None
    duration_ns: int = -1
    begin_index: int = 0
    """Ordinal of the begin event among the events of the track."""
    end_index: int | None = None
    annotations: dict[str, object] = field(default_factory=dict)
    category: str | None = None
    log: tuple[str, int] | None = None
    """Message and priority, if it is a line of its thread's log."""
    flow: int | None = None
    """The id of the flow that begins here, or, negated, of that which ends here."""


@dataclass
class Track:
    """A described track. `thread_id` is None for tracks that are neither a thread's nor below that of one."""

    uuid: int
    name: str = ""
    parent_uuid: int = 0
    process_id: int | None = None
    thread_id: int | None = None
    thread_name: str | None = None
    process_name: str | None = None
    is_below_thread: bool = False
    slices: list[Slice] = field(default_factory=list)
    instants: list[Slice] = field(default_factory=list)
    """Remarks at a point of time; their duration is 0."""
    unit: str | None = None
    """Of the counter that it is the track of; empty if it has none."""
    values: list[tuple[int, float]] = field(default_factory=list)
    """Times and values of the counter."""


@dataclass
class Trace:
    """All tracks by uuid."""

    tracks: dict[int, Track]

    @property
    def thread_tracks(self) -> list[Track]:
        return [t for t in self.tracks.values() if t.thread_id is not None and not t.is_below_thread]

    def tracks_below(self, thread_track: Track) -> list[Track]:
        """The tracks of slices that a thread's own track has no room for."""
        return [
            t
            for t in self.tracks.values()
            if t.is_below_thread and t.unit is None and t.parent_uuid == thread_track.uuid
        ]

    @property
    def lanes(self) -> list[Track]:
        """The tracks that hold slices and are not threads."""
        return [track for track in self.tracks.values() if track.thread_id is None and track.slices]


@dataclass
class _Sequence:
    """What later packets of a sequence lean on."""

    names: dict[int, str] = field(default_factory=dict)
    sources: dict[int, tuple[str, int]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    annotation_names: dict[int, str] = field(default_factory=dict)
    strings: dict[int, bytes] = field(default_factory=dict)
    log_bodies: dict[int, str] = field(default_factory=dict)
    clocks: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    """Clock id to (its snapshot time, the trace clock's at the same instant, incremental)."""
    last: dict[int, int] = field(default_factory=dict)
    default_clock: int = TRACE_CLOCK
    default_track: int = 0
    is_cleared: bool = False


@dataclass
class _Event:
    time_ns: int
    kind: int
    name: str
    source: tuple[str, int] | None
    category: str | None
    annotations: dict[str, object]
    log: tuple[str, int] | None
    value: float | None
    flow: int | None


def read_trace(data: bytes) -> Trace:
    """The tracks and slices of a trace.

    Raises:
        TraceError: the bytes are not whole packets, or something in them leans on what is not there.
    """
    tracks: dict[int, Track] = {}
    events: dict[int, list[_Event]] = defaultdict(list)
    sequences: dict[int, _Sequence] = defaultdict(_Sequence)
    for packet in _packets(data):
        sequence = sequences[packet.trusted_packet_sequence_id]
        if packet.sequence_flags & pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
            sequence = sequences[packet.trusted_packet_sequence_id] = _Sequence(is_cleared=True)
        if packet.HasField("clock_snapshot"):
            _take_snapshot(packet.clock_snapshot, sequence)
        if packet.HasField("trace_packet_defaults"):
            _take_defaults(packet.trace_packet_defaults, sequence)
        if packet.HasField("interned_data"):
            _intern(packet.interned_data, sequence)
        if packet.HasField("track_descriptor"):
            _describe(packet.track_descriptor, tracks)
        if packet.HasField("track_event"):
            if not sequence.is_cleared:
                raise TraceError("an event on a sequence whose incremental state never began")
            track_uuid, event = _event(packet, sequence)
            if track_uuid not in tracks:
                raise TraceError(f"an event on track {track_uuid}, which is not described")
            events[track_uuid].append(event)
    for uuid, track_events in events.items():
        _stack(tracks[uuid], track_events)
    return Trace(tracks)


def _packets(data: bytes) -> Iterator[pb.TracePacket]:
    trace = pb.Trace()
    try:
        trace.ParseFromString(data)
    except DecodeError as error:
        raise TraceError(f"not whole packets: {error}") from error
    for message in (trace, *trace.packet):
        if len(UnknownFieldSet(message)):
            raise TraceError(f"fields that a {type(message).__name__} does not have")
    yield from trace.packet


def _take_snapshot(snapshot: pb.ClockSnapshot, sequence: _Sequence) -> None:
    at = [clock.timestamp for clock in snapshot.clocks if clock.clock_id == TRACE_CLOCK]
    if len(at) != 1:
        raise TraceError("a clock snapshot without the trace clock")
    for clock in snapshot.clocks:
        if FIRST_SEQUENCE_CLOCK <= clock.clock_id <= LAST_SEQUENCE_CLOCK:
            if clock.unit_multiplier_ns not in (0, 1):
                raise TraceError("a clock that does not count nanoseconds")
            sequence.clocks[clock.clock_id] = (clock.timestamp, at[0], clock.is_incremental)
            sequence.last[clock.clock_id] = clock.timestamp


def _take_defaults(defaults: pb.TracePacketDefaults, sequence: _Sequence) -> None:
    sequence.default_clock = defaults.timestamp_clock_id or TRACE_CLOCK
    sequence.default_track = defaults.track_event_defaults.track_uuid


def _intern(data: pb.InternedData, sequence: _Sequence) -> None:
    for name in data.event_names:
        _define(sequence.names, name.iid, name.name)
    for source in data.source_locations:
        _define(sequence.sources, source.iid, (source.file_name, source.line_number))
    for category in data.event_categories:
        _define(sequence.categories, category.iid, category.name)
    for name in data.debug_annotation_names:
        _define(sequence.annotation_names, name.iid, name.name)
    for text in data.debug_annotation_string_values:
        _define(sequence.strings, text.iid, text.str)
    for body in data.log_message_body:
        _define(sequence.log_bodies, body.iid, body.body)


def _define(table: dict, iid: int, value: object) -> None:  # type: ignore[type-arg]
    if iid == 0:
        raise TraceError("interned under the id 0")
    if table.setdefault(iid, value) != value:
        raise TraceError(f"interned id {iid} is {table[iid]!r} and {value!r}")


def _describe(descriptor: pb.TrackDescriptor, tracks: dict[int, Track]) -> None:
    track = tracks.setdefault(descriptor.uuid, Track(descriptor.uuid))
    track.name = descriptor.name or descriptor.static_name or track.name
    track.parent_uuid = descriptor.parent_uuid
    if descriptor.HasField("thread"):
        track.process_id = descriptor.thread.pid
        track.thread_id = descriptor.thread.tid
        track.thread_name = descriptor.thread.thread_name
    elif (parent := tracks.get(descriptor.parent_uuid)) and parent.thread_id is not None:
        track.process_id, track.thread_id, track.thread_name = parent.process_id, parent.thread_id, parent.thread_name
        track.is_below_thread = True
    if descriptor.HasField("counter"):
        track.unit = descriptor.counter.unit_name
    if descriptor.HasField("process"):
        track.process_id = descriptor.process.pid
        track.process_name = descriptor.process.process_name


def _event(packet: pb.TracePacket, sequence: _Sequence) -> tuple[int, _Event]:
    clock = packet.timestamp_clock_id or sequence.default_clock
    if clock == TRACE_CLOCK:
        time_ns = packet.timestamp
    elif clock not in sequence.clocks:
        raise TraceError(f"clock {clock} has no snapshot")
    else:
        at_snapshot, trace_time, is_incremental = sequence.clocks[clock]
        now = packet.timestamp + (sequence.last[clock] if is_incremental else 0)
        now &= (1 << 64) - 1
        sequence.last[clock] = now
        time_ns = now - at_snapshot + trace_time
    time_ns = _signed(time_ns)
    event = packet.track_event
    uuid = event.track_uuid if event.HasField("track_uuid") else sequence.default_track
    return uuid, _Event(
        time_ns,
        event.type,
        _name(event, sequence),
        _source(event, sequence),
        _known(sequence.categories, event.category_iids[0]) if event.category_iids else None,
        {_annotation_name(each, sequence): _annotation(each, sequence) for each in event.debug_annotations},
        (_known(sequence.log_bodies, event.log_message.body_iid), event.log_message.prio)
        if event.HasField("log_message")
        else None,
        getattr(event, field) if (field := event.WhichOneof("counter_value_field")) else None,
        _flow(event),
    )


def _flow(event: pb.TrackEvent) -> int | None:
    flows = [*event.flow_ids, *(-flow for flow in event.terminating_flow_ids)]
    if len(flows) > 1:
        raise TraceError("an event of several flows")
    return flows[0] if flows else None


def _annotation_name(annotation: pb.DebugAnnotation, sequence: _Sequence) -> str:
    return annotation.name or _known(sequence.annotation_names, annotation.name_iid)


def _annotation(annotation: pb.DebugAnnotation, sequence: _Sequence) -> object:
    if annotation.string_value_iid:
        return _known(sequence.strings, annotation.string_value_iid).decode()
    return getattr(annotation, str(annotation.WhichOneof("value")))


def _known(table: dict[int, T], iid: int) -> T:
    if iid not in table:
        raise TraceError(f"interned id {iid} is used before it is defined")
    return table[iid]


def _signed(value: int) -> int:
    """64 bits as the trace processor takes them for a time."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _name(event: pb.TrackEvent, sequence: _Sequence) -> str:
    if not event.name_iid:
        return event.name
    if event.name_iid not in sequence.names:
        raise TraceError(f"event name {event.name_iid} is used before it is interned")
    return sequence.names[event.name_iid]


def _source(event: pb.TrackEvent, sequence: _Sequence) -> tuple[str, int] | None:
    iid = event.source_location_iid or event.log_message.source_location_iid
    if iid:
        return _known(sequence.sources, iid)
    if event.HasField("source_location"):
        return event.source_location.file_name, event.source_location.line_number
    return None


def _stack(track: Track, events: list[_Event]) -> None:
    """Begins and ends as a stack; at one time, the order of the file counts."""
    stack: list[Slice] = []
    for index, event in enumerate(sorted(events, key=lambda event: event.time_ns)):
        if event.kind == pb.TrackEvent.TYPE_SLICE_BEGIN:
            parent = stack[-1] if stack else None
            if len(stack) >= MAX_DEPTH:
                raise TraceError(f"a slice below {len(stack)} others on track {track.uuid}")
            begun = Slice(event.time_ns, event.name, len(stack), parent, event.source, begin_index=index)
            begun.annotations, begun.flow = event.annotations, event.flow
            stack.append(begun)
            track.slices.append(begun)
        elif event.kind == pb.TrackEvent.TYPE_SLICE_END:
            if not stack:
                raise TraceError(f"an end with nothing open on track {track.uuid}")
            ended = stack.pop()
            ended.duration_ns = event.time_ns - ended.begin_ns
            ended.end_index = index
        elif event.kind == pb.TrackEvent.TYPE_INSTANT:
            parent = stack[-1] if stack else None
            depth = len(stack) % MAX_DEPTH  # On a full stack the trace processor shows it at the bottom.
            instant = Slice(event.time_ns, event.name, depth, parent, event.source, 0, index)
            instant.annotations, instant.category, instant.log = event.annotations, event.category, event.log
            instant.flow = event.flow
            track.instants.append(instant)
        elif event.kind == pb.TrackEvent.TYPE_COUNTER and event.value is not None and track.unit is not None:
            track.values.append((event.time_ns, event.value))
        else:
            raise TraceError(f"an event of type {event.kind}")
