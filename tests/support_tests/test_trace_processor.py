"""The trace processor tells the truth about small traces made by hand with the official message classes."""

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from tests.support.trace_processor import Slice, TraceProcessor, TraceProcessorError

THREAD_TRACK, LANE = 7, 8
BEGIN, END = pb.TrackEvent.TYPE_SLICE_BEGIN, pb.TrackEvent.TYPE_SLICE_END
LATE_NS = (1 << 62) + 1
"""Not a whole number as a float64."""


def described_tracks() -> pb.Trace:
    trace = pb.Trace()
    process = trace.packet.add().track_descriptor
    process.uuid = 1
    process.process.pid = 40
    process.process.process_name = "kitchen"
    thread = trace.packet.add().track_descriptor
    thread.uuid = THREAD_TRACK
    thread.thread.pid = 40
    thread.thread.tid = 41
    thread.thread.thread_name = "cook"
    lane = trace.packet.add().track_descriptor
    lane.uuid = LANE
    lane.parent_uuid = 1
    lane.name = "orders"
    trace.packet.add(
        trusted_packet_sequence_id=1, sequence_flags=pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    ).interned_data.source_locations.add(iid=1, file_name="soup.py", line_number=33)
    return trace


def add_event(trace: pb.Trace, time_ns: int, track: int, kind: pb.TrackEvent.Type, name: str | None = None) -> None:
    packet = trace.packet.add(timestamp=time_ns, trusted_packet_sequence_id=1)
    packet.sequence_flags = pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
    packet.track_event.track_uuid = track
    packet.track_event.type = kind
    if name is not None:
        packet.track_event.name = name
        packet.track_event.categories.append("food")
        packet.track_event.source_location_iid = 1


def small_trace() -> bytes:
    trace = described_tracks()
    add_event(trace, LATE_NS, THREAD_TRACK, BEGIN, "soup")
    add_event(trace, LATE_NS + 1, THREAD_TRACK, BEGIN, "нарезать 🥕")
    add_event(trace, LATE_NS + 3, THREAD_TRACK, END)
    add_event(trace, LATE_NS + 5, LANE, BEGIN, "table 4")
    add_event(trace, LATE_NS + 9, LANE, END)
    return trace.SerializeToString()


def test_every_slice_is_told_exactly(trace_processor: TraceProcessor) -> None:
    """Times beyond 2^53, text in any script, nesting, unfinished slices, tracks and source locations come."""
    loaded = trace_processor.load(small_trace())
    thread_track, lane_track = dict.fromkeys(slice_.track_id for slice_ in loaded.slices())
    thread = (thread_track, None, 41, "cook", 40, "kitchen", "soup.py", 33)
    lane = (lane_track, "orders", None, None, 40, "kitchen", "soup.py", 33)
    assert loaded.slices() == [
        Slice(LATE_NS, -1, 0, "soup", "food", *thread),
        Slice(LATE_NS + 1, 2, 1, "нарезать 🥕", "food", *thread),
        Slice(LATE_NS + 5, 4, 0, "table 4", "food", *lane),
    ]
    assert loaded.errors() == []


def test_a_statement_gives_rows_of_plain_values(trace_processor: TraceProcessor) -> None:
    """NULL, integers of 64 bits, floats, text and an empty result are plain Python."""
    sql = f"SELECT NULL AS z, {LATE_NS} AS n, -1.5 AS x, 'né' AS t"
    assert trace_processor.query(small_trace(), sql) == [{"z": None, "n": LATE_NS, "x": -1.5, "t": "né"}]
    assert trace_processor.query(small_trace(), "SELECT * FROM slice WHERE dur = 77") == []
    assert trace_processor.query(small_trace(), "CREATE PERFETTO TABLE mine AS SELECT 1 AS one") == []


def test_what_the_trace_processor_drops_is_an_error(trace_processor: TraceProcessor) -> None:
    """Names that were never interned, packets without a sequence's state and unknown clocks are counted."""
    for flags, clock, counted in [
        (pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED, 6, "interned_data_tokenizer_errors"),
        (pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE, 6, "tokenizer_skipped_packets"),
        (pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED, 64, "clock_sync_failure"),
    ]:
        trace = pb.Trace()
        packet = trace.packet.add(timestamp=5, timestamp_clock_id=clock, trusted_packet_sequence_id=3)
        packet.sequence_flags = flags
        packet.track_event.type = BEGIN
        packet.track_event.name_iid = 99
        loaded = trace_processor.load(trace.SerializeToString())
        assert [row["name"] for row in loaded.errors()] == [counted]


def test_bytes_that_are_no_trace_are_refused(trace_processor: TraceProcessor) -> None:
    """Loading something else raises, and the next trace loads as if nothing had been."""
    with pytest.raises(TraceProcessorError, match="Unknown trace type"):
        trace_processor.load(b"these bytes are not a trace")
    assert len(trace_processor.load(small_trace()).slices()) == 3


def test_a_wrong_statement_raises(trace_processor: TraceProcessor) -> None:
    """The trace processor's own words reach the test."""
    with pytest.raises(TraceProcessorError, match="no such column: nope"):
        trace_processor.query(small_trace(), "SELECT nope")


def test_a_replaced_trace_cannot_be_asked(trace_processor: TraceProcessor) -> None:
    """Once another trace is loaded, the one before answers no more."""
    replaced = trace_processor.load(small_trace())
    trace_processor.load(small_trace())
    with pytest.raises(TraceProcessorError, match="no longer loaded"):
        replaced.slices()


def test_a_dead_engine_is_told_and_replaced(trace_processor: TraceProcessor) -> None:
    """When the engine's process dies, the statement raises and the next load starts another."""
    loaded = trace_processor.load(small_trace())
    assert trace_processor._host is not None
    trace_processor._host.kill()
    with pytest.raises(TraceProcessorError, match="died"):
        loaded.slices()
    assert len(trace_processor.load(small_trace()).slices()) == 3


@pytest.mark.slow
def test_a_trace_of_tens_of_megabytes_loads(trace_processor: TraceProcessor) -> None:
    """Traces larger than what is handed over at once arrive whole."""
    trace = described_tracks()
    for index in range(200_000):
        add_event(trace, index * 10, THREAD_TRACK, BEGIN, "x" * 125)
        add_event(trace, index * 10 + 7, THREAD_TRACK, END)
    data = trace.SerializeToString()
    assert len(data) > 32 << 20
    slices = trace_processor.load(data).slices()
    assert [(s.begin_ns, s.duration_ns, s.depth) for s in slices] == [(n * 10, 7, 0) for n in range(200_000)]
