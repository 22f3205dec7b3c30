"""The rare packets of the one packet sequence: its start, the start of a track's events, and instants."""

from collections.abc import Mapping
from typing import Any

from udtf.perfetto.packets import SEQUENCE_ID
from udtf.perfetto.perfetto_trace_pb2 import (
    ClockSnapshot,
    DebugAnnotation,
    Trace,
    TracePacket,
    TracePacketDefaults,
    TrackEvent,
    TrackEventDefaults,
)

REALTIME_CLOCK = 1
TRACE_CLOCK = 6
"""The clock that a trace's times are in, BOOTTIME. Ours counts from 1970, as REALTIME does."""
DELTA_CLOCK = 64
"""The first clock that is a sequence's own; its timestamps count from the event before."""


def sequence_start() -> bytes:
    """The first packet of a trace: forgets what an earlier trace in the same file left on the sequence."""
    return _packet(
        sequence_flags=TracePacket.SEQ_INCREMENTAL_STATE_CLEARED,
        clock_snapshot=_snapshot(REALTIME_CLOCK),
    )


def events_start(track_uuid: int | None) -> bytes:
    """The packet before a run of events with delta timestamps, the first of which counts from 1970.

    Every run starts at the same instant: where snapshots of the trace clock went back, the trace processor would
    refuse them, and concatenated traces have no order in time.

    Args: the track of events that name none.
    """
    return _packet(
        sequence_flags=TracePacket.SEQ_NEEDS_INCREMENTAL_STATE,
        clock_snapshot=_snapshot(DELTA_CLOCK),
        trace_packet_defaults=TracePacketDefaults(
            timestamp_clock_id=DELTA_CLOCK,
            track_event_defaults=None if track_uuid is None else TrackEventDefaults(track_uuid=track_uuid),
        ),
    )


def instant(track_uuid: int, time_ns: int, name: str, annotations: Mapping[str, str]) -> bytes:
    """The packet of a moment on a track, which neither uses nor changes the state of the sequence."""
    return _packet(
        timestamp=time_ns % (1 << 64),
        timestamp_clock_id=TRACE_CLOCK,
        track_event=TrackEvent(
            type=TrackEvent.TYPE_INSTANT,
            track_uuid=track_uuid,
            name=name,
            debug_annotations=[DebugAnnotation(name=key, string_value=value) for key, value in annotations.items()],
        ),
    )


def _snapshot(clock_id: int) -> ClockSnapshot:
    """A moment where the trace clock and another one read 0."""
    return ClockSnapshot(
        clocks=[
            ClockSnapshot.Clock(clock_id=TRACE_CLOCK, timestamp=0),
            ClockSnapshot.Clock(
                clock_id=clock_id, timestamp=0, is_incremental=True if clock_id == DELTA_CLOCK else None
            ),
        ]
    )


def _packet(**fields: Any) -> bytes:
    packet = TracePacket(trusted_packet_sequence_id=SEQUENCE_ID, **fields)
    return Trace(packet=[packet]).SerializeToString()
