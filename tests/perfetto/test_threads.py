"""Spans of a thread come out of the bytes as they went into the encoder."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.strategies import effort
from tests.model.trace_reader import MAX_DEPTH, Trace, read_trace
from tests.perfetto.recordings import (
    PROCESS,
    START_NS,
    THREAD,
    Placed,
    Shown,
    Span,
    cut,
    deep_spans,
    encode_thread,
    expected,
    expected_on_tracks,
    part_of,
    piece_sizes,
    shown,
    shown_of_thread,
    thread_spans,
)
from udtf.errors import CorruptData
from udtf.lake.block_format import Scope
from udtf.perfetto import pieces
from udtf.perfetto.span_table import SpanTable
from udtf.perfetto.threads import ThreadEncoder
from udtf.perfetto.tracks import ThreadTrack
from udtf.perfetto.writer import TraceWriter

SCOPE = Scope("work", "module", "file.py", 7)


def trace_of(spans: list[list[Span]], piece_bytes: int = pieces.PIECE_BYTES) -> Trace:
    """A trace of one thread."""
    writer = TraceWriter(PROCESS)
    return read_trace(writer.descriptors([THREAD]) + encode_thread(writer, THREAD, spans, piece_bytes))


def slices_of(spans: list[list[Span]], piece_bytes: int = pieces.PIECE_BYTES) -> list[Shown]:
    """The slices of a trace of one thread that is never deep."""
    (slices,) = shown_of_thread(trace_of(spans, piece_bytes), THREAD)
    return slices


def recursion(depth: int) -> list[Span]:
    """Calls within calls, begun and ended one every nanosecond."""
    return [Span(START_NS + i, START_NS + 2 * depth - i, i, SCOPE) for i in range(depth)]


@given(thread_spans(), st.data(), piece_sizes)
def test_every_span_is_shown_once_with_its_times_depth_and_names(
    spans: list[Span], data: st.DataObject, piece_bytes: int
) -> None:
    """However spans are nested, timed, named, left open, cut into batches and into pieces."""
    assert slices_of(data.draw(cut(spans)), piece_bytes) == expected(spans)


@given(st.lists(thread_spans(), min_size=2, max_size=4))
def test_threads_share_a_trace(recordings: list[list[Span]]) -> None:
    """Each thread's slices are on its own track, with ids that were interned for threads before it."""
    writer = TraceWriter(PROCESS)
    threads = [ThreadTrack(f"stream-{i}", f"thread {i}", str(i + 1)) for i in range(len(recordings))]
    data = writer.descriptors(threads)
    for thread, spans in zip(threads, recordings, strict=True):
        data += encode_thread(writer, thread, [spans])
    tracks = read_trace(data).tracks
    assert [shown(tracks[thread.uuid]) for thread in threads] == [expected(spans) for spans in recordings]


def test_depth_tells_a_zero_length_child_from_a_zero_length_sibling() -> None:
    """Four spans at one nanosecond are nested as their depths say."""
    spans = [Span(START_NS, START_NS, depth, SCOPE) for depth in (0, 1, 1, 0)]
    assert slices_of([spans]) == expected(spans)


def test_a_stack_of_any_depth_is_unwound() -> None:
    """A recursion of 10,000 calls ends call by call, on as many tracks as it takes."""
    spans = recursion(10_000)
    assert shown_of_thread(trace_of([spans[:100], spans[100:]], 4096), THREAD) == expected_on_tracks(
        Placed(span, 0, 0, span.depth) for span in spans
    )


@effort(10)
@given(deep_spans(), st.data(), piece_sizes)
def test_spans_that_are_too_deep_for_a_track_are_on_tracks_below_it(
    recording: list[Placed], data: st.DataObject, piece_bytes: int
) -> None:
    """With their times, under those that were open on the track before; no track is there that shows nothing."""
    trace = trace_of(data.draw(cut([placed.span for placed in recording])), piece_bytes)
    assert shown_of_thread(trace, THREAD) == expected_on_tracks(recording)


@effort(5)
@given(deep_spans(), st.data(), piece_sizes)
def test_a_cut_leaves_no_mark_where_tracks_are_added(
    recording: list[Placed], data: st.DataObject, piece_bytes: int
) -> None:
    """Batches and pieces may end just where another track begins."""
    spans = [Span(placed.span.begin_ns, placed.span.end_ns, placed.span.depth, SCOPE) for placed in recording]
    batches = [batch for batch in data.draw(cut(spans)) if batch]
    assert encode_thread(TraceWriter(PROCESS), THREAD, batches, piece_bytes) == encode_thread(
        TraceWriter(PROCESS), THREAD, [spans] if spans else []
    )


def test_a_thread_has_a_track_below_it_only_where_its_own_is_full() -> None:
    """Calls that come and go where one more would be too deep need no other track."""
    spans = recursion(MAX_DEPTH - 1)
    bottom_ns = START_NS + MAX_DEPTH
    calls = [Span(bottom_ns, bottom_ns, MAX_DEPTH - 1, SCOPE)] * 100
    assert slices_of([[*spans, *calls]]) == expected([*spans, *calls])
    one_more = Span(bottom_ns, bottom_ns, MAX_DEPTH, SCOPE)
    assert shown_of_thread(trace_of([[*spans, *calls, one_more]]), THREAD) == [
        expected([*spans, *calls]),
        expected([Span(bottom_ns, bottom_ns, 0, SCOPE)]),
    ]


def test_tracks_below_two_threads_stay_apart() -> None:
    """They have the same name, but not the same uuid."""
    writer = TraceWriter(PROCESS)
    threads = [THREAD, ThreadTrack("stream-2", "other", "17")]
    spans = recursion(MAX_DEPTH + 1)
    data = writer.descriptors(threads) + b"".join(encode_thread(writer, thread, [spans]) for thread in threads)
    trace = read_trace(data)
    for thread in threads:
        assert [len(slices) for slices in shown_of_thread(trace, thread)] == [MAX_DEPTH, 1]


def test_spans_before_a_loss_stay_open_and_the_next_ones_are_shown_below() -> None:
    """Depth begins at 0 again after lost events; nobody knows when the spans before ended."""
    before = [Span(START_NS, None, 0, SCOPE), Span(START_NS + 1, None, 1, SCOPE)]
    after = [Span(START_NS + 5, START_NS + 9, 0, SCOPE), Span(START_NS + 6, START_NS + 7, 1, SCOPE)]
    found = slices_of([before, after])
    assert found[:2] == expected(before)
    assert found[2:] == expected([Span(s.begin_ns, s.end_ns, s.depth + 2, s.scope) for s in after])


def test_a_time_that_goes_back_leaves_the_others_right() -> None:
    """A begin before the event before it is a fault of the clock, but the bytes tell it as it was."""
    times_ns = [START_NS, START_NS - 10**9, START_NS + 10**9]
    found = slices_of([[Span(time_ns, None, depth, SCOPE) for depth, time_ns in enumerate(times_ns)]])
    assert [slice_.begin_ns for slice_ in found] == sorted(times_ns)


def test_the_same_spans_give_the_same_bytes() -> None:
    """Nothing in a trace is random, and a cut into batches leaves no mark."""
    spans = [Span(START_NS + i, START_NS + i, 0, SCOPE) for i in range(10)]
    whole, halves = (
        encode_thread(TraceWriter(PROCESS), THREAD, batches) for batches in ([spans], [spans[:5], spans[5:]])
    )
    assert whole == halves


def test_a_span_takes_at_most_36_bytes() -> None:
    """With name, category and source location, 2,000 scopes, and milliseconds between the events."""
    rng = np.random.default_rng(1)
    count = 20_000
    times_ns = START_NS + np.cumsum(rng.integers(1, 1 << 21, 2 * count))
    codes = rng.integers(0, 2000, count)
    scopes = [Scope(f"function {i}", "module", "file.py", i) for i in range(2000)]
    spans = [
        Span(begin_ns, end_ns, 0, scopes[code])
        for begin_ns, end_ns, code in zip(times_ns[::2].tolist(), times_ns[1::2].tolist(), codes.tolist(), strict=True)
    ]
    writer = TraceWriter(PROCESS)
    _, table = SpanTable.of(writer, [part_of(spans, scopes, 0)], np.zeros(1, np.int32), 1)
    encoder = ThreadEncoder(THREAD, writer.bodies)
    parts = [*encoder.encode(table, table.of_stream(0)), *encoder.finish()]
    assert sum(map(len, parts)) <= 36 * count


@pytest.mark.parametrize("code", [-1, 1, 1 << 30])
def test_a_scope_that_a_partition_does_not_have_is_refused(code: int) -> None:
    """The compiled loop looks: the file of a partition may say anything."""
    part = part_of([Span(START_NS, None, 0, SCOPE)], [SCOPE], 0)
    part.columns.scopes[0] = code
    writer = TraceWriter(PROCESS)
    _, table = SpanTable.of(writer, [part], np.zeros(1, np.int32), 1)
    with pytest.raises(CorruptData, match="a scope that it does not have"):
        list(ThreadEncoder(THREAD, writer.bodies).encode(table, table.of_stream(0)))


@pytest.mark.parametrize("column", ["begins_ns", "ends_ns", "depths", "scopes"])
def test_a_column_that_is_too_short_is_refused(column: str) -> None:
    """The compiled loop would read beyond it."""
    part = part_of([Span(START_NS, None, 0, SCOPE)], [SCOPE], 0)
    short = replace(part, columns=replace(part.columns, **{column: getattr(part.columns, column)[:0]}))
    with pytest.raises(ValueError, match="columns of 1 spans have lengths"):
        SpanTable.of(TraceWriter(PROCESS), [short], np.zeros(1, np.int32), 1)
