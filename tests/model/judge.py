"""Compares a trace with the model, slice by slice."""

from collections import Counter
from collections.abc import Iterable

from tests.model.slices import Slice, annotations_of, async_shown, thread_slices
from tests.model.spans import Span, TimeRange
from tests.model.telemetry import Block, Process
from tests.model.trace_reader import MAX_DEPTH, Trace, Track
from tests.model.trace_reader import Slice as ReadSlice


def _slice(read: ReadSlice, depth_of_track: int = 0) -> Slice:
    annotations = annotations_of(read.annotations.items())
    return Slice(read.begin_ns, read.duration_ns, depth_of_track + read.depth, read.name, annotations)


def _thread_slices(trace: Trace, track: Track) -> list[Slice]:
    """What a thread's track shows, with those tracks below it that say at which depth they begin."""
    found = [_slice(read) for read in track.slices]
    for deeper in trace.tracks_below(track):
        depth = int(deeper.name.removeprefix("deeper than "))
        found += [_slice(read, depth) for read in deeper.slices]
    return sorted(found)


def assert_trace_is_model(
    trace: Trace, process: Process, blocks: Iterable[Block], span_types: str, time_range: TimeRange
) -> None:
    """The trace shows exactly the slices of the model, each on its thread or on a lane that is true to it."""
    blocks = list(blocks)
    assert_threads_are_model(trace, process, blocks, span_types, time_range)
    shown = async_shown(process, blocks, time_range) if span_types in ("async", "both") else []
    assert_lanes_are_model(trace.lanes, shown)


def assert_threads_are_model(
    trace: Trace, process: Process, blocks: Iterable[Block], span_types: str, time_range: TimeRange
) -> None:
    """Each thread's track, found by its id, holds the thread's slices under the thread's name."""
    blocks = list(blocks)
    tracks = {track.thread_id: track for track in trace.thread_tracks}
    assert len(tracks) == len(trace.thread_tracks)
    threads = process.of_kind("thread") if span_types in ("thread", "both") else ()
    for stream in threads:
        expected = thread_slices(process, stream, blocks, time_range)
        track = tracks.pop(stream.thread_id, None)
        if track is None:
            assert expected == [], f"thread {stream.thread_id} is missing"
            continue
        assert track.thread_name == stream.thread_name
        assert _thread_slices(trace, track) == expected
        for read in (read for part in (track, *trace.tracks_below(track)) for read in part.slices):
            if read.source is not None:
                assert any(
                    read.source == (event.scope.filename, event.scope.line) and read.name == event.scope.name
                    for event in stream.events
                )
    assert all(not track.slices for track in tracks.values()), "slices of a thread that was not asked for"


def assert_lanes_are_model(lanes: Iterable[Track], spans: list[Span]) -> None:
    """The lanes hold exactly these spans, with their begins, ends and names, and nothing under a stranger."""
    lanes = list(lanes)
    read = Counter(
        (s.begin_ns, s.duration_ns, s.name, annotations_of(s.annotations.items()))
        for lane in lanes
        for s in lane.slices
    )
    assert read == Counter((s.begin_ns, _duration(s), s.scope.name, annotations_of(s.attributes)) for s in spans)
    identity = {(s.begin_ns, _duration(s), s.scope.name): s for s in spans}
    if len(identity) < len(spans):
        return  # Two spans look alike, so nobody can tell which is under which.
    by_id = {span.id: span for span in spans}
    place = {identity[(s.begin_ns, s.duration_ns, s.name)].id: (lane, s) for lane in lanes for s in lane.slices}
    for span in spans:
        _, slice_ = place[span.id]
        above = slice_.parent
        if above is not None:
            stranger = identity[(above.begin_ns, above.duration_ns, above.name)]
            assert stranger.id == span.parent, f"{span.scope.name!r} is under {stranger.scope.name!r}"
        elif span.parent in by_id and _must_nest(span, by_id[span.parent], place[span.parent]):
            raise AssertionError(f"{span.scope.name!r} could be right under its parent and is not")


def _duration(span: Span) -> int:
    return -1 if span.duration_ns is None else span.duration_ns


def _must_nest(span: Span, parent: Span, parent_place: tuple[Track, ReadSlice]) -> bool:
    """The span lies inside of its parent, whose lane has room and nothing else above the parent all that time."""
    if span.end_ns is None or parent.begin_ns > span.begin_ns:
        return False
    if parent_place[1].depth == MAX_DEPTH - 1:
        return False
    if parent.end_ns is not None and (parent.end_ns <= span.end_ns or parent.end_ns <= span.begin_ns):
        return False
    lane, parent_slice = parent_place
    return not any(
        other.parent is parent_slice
        and other.begin_ns <= span.end_ns
        and (other.duration_ns == -1 or other.begin_ns + other.duration_ns >= span.begin_ns)
        for other in lane.slices
    )
