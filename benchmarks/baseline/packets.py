"""One protobuf message per event, with names and places interned by a dictionary lookup each."""

from udtf.perfetto.kernels import SEQUENCE_ID
from udtf.perfetto.messages import Trace, TracePacket, TrackEvent
from udtf.perfetto.sequence import TRACE_CLOCK

Place = tuple[str, int]
"""File and line."""


class PacketWriter:
    """The packets of the events of one trace, whole and one by one."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._places: dict[Place, int] = {}

    def begin(self, track_uuid: int, time_ns: int, name: str, place: Place) -> bytes:
        """A slice begins. What it names for the first time is defined in its packet."""
        packet = self._packet(time_ns)
        if name not in self._names:
            self._names[name] = len(self._names) + 1
            packet.interned_data.event_names.add(iid=self._names[name], name=name)
        if place not in self._places:
            self._places[place] = len(self._places) + 1
            packet.interned_data.source_locations.add(iid=self._places[place], file_name=place[0], line_number=place[1])
        packet.track_event.type = TrackEvent.TYPE_SLICE_BEGIN
        packet.track_event.track_uuid = track_uuid
        packet.track_event.name_iid = self._names[name]
        packet.track_event.source_location_iid = self._places[place]
        return _serialized(packet)

    def end(self, track_uuid: int, time_ns: int) -> bytes:
        """The slice of a track that began last ends."""
        packet = self._packet(time_ns)
        packet.track_event.type = TrackEvent.TYPE_SLICE_END
        packet.track_event.track_uuid = track_uuid
        return _serialized(packet)

    def _packet(self, time_ns: int) -> "TracePacket":
        return TracePacket(
            timestamp=time_ns,
            timestamp_clock_id=TRACE_CLOCK,
            trusted_packet_sequence_id=SEQUENCE_ID,
            sequence_flags=TracePacket.SEQ_NEEDS_INCREMENTAL_STATE,
        )


def _serialized(packet: "TracePacket") -> bytes:
    data: bytes = Trace(packet=[packet]).SerializeToString()
    return data
