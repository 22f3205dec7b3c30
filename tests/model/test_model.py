"""The referee itself, on cases small enough to be told by eye."""

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from tests.model import examples
from tests.model.examples import at, begin, end, task_begin, task_end
from tests.model.slices import Slice, thread_slices
from tests.model.spans import TimeRange, async_events, async_spans, thread_spans
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, Stream, cut
from tests.model.trace_reader import TraceError, read_trace

LIFE = ALL_TIME


def _tree(process: Process, stream: Stream, blocks: tuple[Block, ...]) -> str:
    """Spans as an indented tree: id name begin..end."""
    return "\n".join(
        f"{'  ' * span.depth}{span.id} {span.scope.name} "
        f"{span.begin_ns - at(0)}..{'' if span.end_ns is None else span.end_ns - at(0)}"
        for span in thread_spans(process, stream, blocks).spans
    )


def test_parentheses_match() -> None:
    """Children end before their parents; an id is the ordinal of the begin."""
    stream = examples.thread(begin(0, "a"), begin(1, "b"), end(2), begin(2, "c"), end(2), end(5), begin(6, "d"))
    process = examples.process(stream)
    assert _tree(process, stream, cut(stream, [1, 3])) == "0 a 0..5\n  1 b 1..2\n  3 c 2..2\n6 d 6.."


def test_a_lost_block_leaves_what_was_open_unfinished_and_starts_anew() -> None:
    """Ends whose begin was before the hole are orphans, never somebody else's end."""
    events = (begin(0, "a"), begin(1, "b"), end(2), begin(3, "c"), end(4), end(5), begin(6, "d"), end(7))
    stream = examples.thread(*events)
    process = examples.process(stream)
    first, _lost, last = cut(stream, [2, 4])
    model = thread_spans(process, stream, (first, last))
    assert _tree(process, stream, (first, last)) == "0 a 0..\n  1 b 1..\n6 d 6..7"
    assert (model.lost_events, model.orphan_ends, model.abandoned) == (2, 2, {0, 1})
    assert thread_slices(process, stream, (first, last), LIFE) == [
        Slice(at(0), -1, 0, "a"),
        Slice(at(1), -1, 1, "b"),
        Slice(at(6), 1, 2, "d"),
    ]


def test_a_range_keeps_whole_spans() -> None:
    """Both ends of a range are inclusive and clip nothing; an unfinished span reaches for ever."""
    stream = examples.thread(begin(0, "a"), end(10), begin(20, "b"), end(30), begin(40, "open"))
    process = examples.process(stream)

    def shown(begin_ns: int, end_ns: int) -> list[str]:
        time_range = TimeRange(at(begin_ns), at(end_ns))
        return [s.name for s in thread_slices(process, stream, cut(stream, []), time_range)]

    assert shown(10, 20) == ["a", "b"]
    assert shown(11, 19) == []
    assert shown(50, 60) == ["open"]


def test_time_is_floored_on_either_side_of_the_start() -> None:
    """Three ticks a second: a tick before the start is 333,333,334 ns before it."""
    process = examples.process(tsc_frequency=3)
    assert [process.time_ns(ticks) - at(0) for ticks in (-1, 0, 1, 2, 3)] == [
        -333_333_334,
        0,
        333_333_333,
        666_666_666,
        10**9,
    ]


def test_tasks_match_by_id_across_a_lost_block() -> None:
    """A hole takes the events in it and no others."""
    stream = examples.tasks(task_begin(0, 1), task_begin(1, 2, 1, 1), task_end(2, 2, 1, 1), task_end(3, 1))
    process = examples.process(stream)
    kept = [block for block in cut(stream, [1, 2, 3]) if block.object_offset != 2]
    spans = async_spans(process, stream, kept).spans
    assert [(span.id, span.end_ns) for span in spans] == [(1, at(3)), (2, None)]
    events = async_events(process, kept, TimeRange(at(4), at(9)))
    assert [(event.span_id, event.event_type) for event in events] == [(2, "begin")]


def _trace(*packets: pb.TracePacket) -> bytes:
    return pb.Trace(packet=packets).SerializeToString()


def _track(uuid: int = 5) -> pb.TracePacket:
    packet = pb.TracePacket(trusted_packet_sequence_id=1, sequence_flags=1)
    packet.track_descriptor.uuid = uuid
    packet.track_descriptor.thread.pid = 1
    packet.track_descriptor.thread.tid = 7
    packet.track_descriptor.thread.thread_name = "main"
    return packet


def _event(timestamp: int, kind: int, **fields: object) -> pb.TracePacket:
    packet = pb.TracePacket(trusted_packet_sequence_id=1, timestamp=timestamp)
    packet.track_event.type = kind
    packet.track_event.track_uuid = 5
    for name, value in fields.items():
        setattr(packet.track_event, name, value)
    return packet


BEGIN, END = pb.TrackEvent.TYPE_SLICE_BEGIN, pb.TrackEvent.TYPE_SLICE_END


def test_the_reader_follows_incremental_clocks_defaults_and_interning() -> None:
    """Times are sums of differences since the snapshot; names are those interned before."""
    head = pb.TracePacket(trusted_packet_sequence_id=1)
    for clock, incremental in ((6, False), (64, True)):
        head.clock_snapshot.clocks.add(clock_id=clock, timestamp=1000, is_incremental=incremental)
    head.trace_packet_defaults.timestamp_clock_id = 64
    head.trace_packet_defaults.track_event_defaults.track_uuid = 5
    head.interned_data.event_names.add(iid=3, name="f")
    outer, inner, inner_end = _event(10, BEGIN, name_iid=3), _event(0, BEGIN, name="g"), _event(4, END)
    for packet in (outer, inner, inner_end):
        packet.track_event.ClearField("track_uuid")
    [track] = read_trace(_trace(_track(), head, outer, inner, inner_end)).thread_tracks
    assert [(s.begin_ns, s.duration_ns, s.depth, s.name) for s in track.slices] == [
        (1010, -1, 0, "f"),
        (1010, 4, 1, "g"),
    ]
    assert (track.thread_id, track.thread_name) == (7, "main")


@pytest.mark.parametrize(
    ("packets", "complaint"),
    [
        ((_track(), _event(1, END)), "nothing open"),
        ((_track(), _event(1, BEGIN, name_iid=9)), "before it is interned"),
        ((_track(6), _event(1, BEGIN)), "not described"),
        ((_event(1, BEGIN),), "never began"),
    ],
)
def test_the_reader_refuses_what_a_viewer_would_drop(packets: tuple[pb.TracePacket, ...], complaint: str) -> None:
    """A lost event must fail a test, not vanish."""
    with pytest.raises(TraceError, match=complaint):
        read_trace(_trace(*packets))


def test_the_reader_refuses_half_a_packet() -> None:
    """A cut inside of a packet is no trace."""
    data = _trace(_track(), _event(1, BEGIN))
    with pytest.raises(TraceError, match="whole packets"):
        read_trace(data[:-1])
