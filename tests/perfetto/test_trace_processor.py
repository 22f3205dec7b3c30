"""Perfetto's own trace processor understands all of a trace, and shows what went in."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.model.strategies import effort
from tests.model.trace_reader import MAX_DEPTH
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
    expected_on_tracks,
)
from tests.perfetto.test_async_spans import AsyncSpan, nested, plain_lanes
from tests.perfetto.test_async_spans import encode as encode_async
from tests.support.trace_processor import LoadedTrace, TraceProcessor
from udtf.lake.block_format import Scope
from udtf.lake.matching import OPEN
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack
from udtf.perfetto.writer import TraceWriter

OUTER = Scope("outer", "server", "server.py", 12)
INNER = Scope("внутри", "server.pool", "pool.py", 4_000_000_000)
NAMELESS = Scope("", "", "", 0)
LONG = Scope("x" * 100_000, "long", "long.py", 1)

SPANS = [
    Span(START_NS, START_NS + 100, 0, OUTER),
    Span(START_NS, START_NS, 1, NAMELESS),
    Span(START_NS, START_NS + 50, 1, INNER),
    Span(START_NS + 50, START_NS + 50, 1, INNER),
    Span(START_NS + 60, START_NS + 90, 1, LONG),
    Span(START_NS + 100, START_NS + 100, 0, OUTER),
    Span(START_NS + 10**12, None, 0, OUTER),
    Span(START_NS + 10**12 + 1, START_NS + 10**12 + 2, 1, INNER),
]


def trace_of(process: ProcessTrack, threads: list[ThreadTrack]) -> bytes:
    """A trace where every thread recorded the same."""
    writer = TraceWriter(process)
    return writer.descriptors(threads) + b"".join(encode_thread(writer, thread, [SPANS], 128) for thread in threads)


def thread_slices(trace: LoadedTrace, process_name: str, thread_name: str | None) -> list[tuple[object, ...]]:
    return [
        (s.begin_ns, s.duration_ns, s.depth, s.name, s.category, s.file, s.line)
        for s in trace.slices()
        if s.process_name == process_name and s.thread_name == thread_name
    ]


EXPECTED = [
    (
        span.begin_ns,
        -1 if span.end_ns is None else span.end_ns - span.begin_ns,
        span.depth,
        span.scope.name,
        span.scope.target,
        span.scope.filename,
        span.scope.line,
    )
    for span in SPANS
]


def test_slices_of_threads_are_exact(trace_processor: TraceProcessor) -> None:
    """Times, depth, name, category and source location of every span, on threads that telemetry tells apart badly."""
    threads = [ThreadTrack(f"stream-{i}", f"worker {i}", tid) for i, tid in enumerate(["4242", "17", "17", None, "x"])]
    trace = trace_processor.load(trace_of(PROCESS, threads))
    assert trace.errors() == []
    for thread in threads:
        assert thread_slices(trace, PROCESS.name, thread.name) == EXPECTED
    assert len(trace.slices()) == len(threads) * len(SPANS)
    (row,) = trace.query("SELECT trace_start() AS begin_ns, trace_end() AS end_ns")
    assert row == {"begin_ns": START_NS, "end_ns": START_NS + 10**12 + 2}


@pytest.mark.parametrize("names", [("first", "second"), ("second", "first")])
def test_traces_of_two_processes_are_one_trace(trace_processor: TraceProcessor, names: tuple[str, str]) -> None:
    """In any order, although both use the same sequence, clock, interned ids and tid."""
    data = b"".join(
        trace_of(ProcessTrack(name, name, None, START_NS), [ThreadTrack(f"stream of {name}", "main", "4242")])
        for name in names
    )
    trace = trace_processor.load(data)
    assert trace.errors() == []
    for name in names:
        assert thread_slices(trace, name, "main") == EXPECTED


def test_async_spans_are_on_lanes_of_their_process(trace_processor: TraceProcessor) -> None:
    """Those that overlap have different lanes, a child is below its parent, one without an end stays open."""
    spans = [
        AsyncSpan(1, 0, 0, START_NS, "request", 5, START_NS + 100),
        AsyncSpan(2, 0, 1, START_NS, "request", 4, START_NS + 90),
        AsyncSpan(3, 1, 2, START_NS + 10, "read", 3, START_NS + 20),
        AsyncSpan(4, 0, 6, START_NS + 200, "request", OPEN, OPEN),
    ]
    trace = trace_processor.load(encode_async([spans]))
    assert trace.errors() == []
    assert [
        (s.track_name, s.process_name, s.begin_ns - START_NS, s.duration_ns, s.depth, s.name, s.line)
        for s in sorted(trace.slices(), key=lambda s: s.line or 0)
    ] == [
        ("async 1", PROCESS.name, 0, 100, 0, "request", 1),
        ("async 2", PROCESS.name, 0, 90, 0, "request", 2),
        ("async 1", PROCESS.name, 10, 10, 1, "read", 3),
        ("async 1", PROCESS.name, 200, -1, 0, "request", 4),
    ]


def test_lanes_of_two_streams_stay_apart(trace_processor: TraceProcessor) -> None:
    """Though they have the same names and the same parent."""
    span = AsyncSpan(1, 0, 0, START_NS, "work", 1, START_NS + 10)
    trace = trace_processor.load(encode_async([[span]]) + encode_async([[span]], stream_id="stream-2"))
    assert trace.errors() == []
    assert [(s.track_name, s.depth, s.duration_ns) for s in trace.slices()] == [("async 1", 0, 10)] * 2
    assert len({s.track_id for s in trace.slices()}) == 2


@effort(5)
@given(recording=deep_spans(), data=st.data())
def test_slices_are_exact_however_deep(
    trace_processor: TraceProcessor, recording: list[Placed], data: st.DataObject
) -> None:
    """Times, names and nesting of every span around the depths where tracks are full, with spans that never end."""
    assume(all("\0" not in p.span.scope.name + p.span.scope.filename for p in recording))  # Answers cannot hold it.
    writer = TraceWriter(PROCESS)
    batches = data.draw(cut([placed.span for placed in recording]))
    trace = trace_processor.load(writer.descriptors([THREAD]) + encode_thread(writer, THREAD, batches))
    assert trace.errors() == []
    found: dict[str | None, list[Shown]] = {}
    for s in trace.slices():
        assert (s.thread_name, s.process_name) == (THREAD.name, PROCESS.name)
        slice_ = Shown(s.begin_ns, s.duration_ns, s.depth, s.name or "", (s.file or "", s.line or 0))
        found.setdefault(s.track_name, []).append(slice_)
    tracks = expected_on_tracks(recording)
    names = [None, *(f"deeper than {MAX_DEPTH * i}" for i in range(1, len(tracks)))]
    assert found == {
        name: list(map(_as_answered, slices)) for name, slices in zip(names, tracks, strict=True) if slices
    }


def _as_answered(slice_: Shown) -> Shown:
    """The trace processor turns backslashes in names of files."""
    file, line = slice_.source or ("", 0)
    return replace(slice_, source=(file.replace("\\", "/"), line))


@effort(5)
@given(spans=deep_spans().map(nested))
def test_async_spans_are_exact_however_deep(trace_processor: TraceProcessor, spans: list[AsyncSpan]) -> None:
    """Each on its lane, with its times."""
    trace = trace_processor.load(encode_async([spans]))
    assert trace.errors() == []
    lanes = plain_lanes(spans)
    found = sorted((s.line or 0, s.begin_ns, s.duration_ns, s.track_name) for s in trace.slices())
    assert found == [(s.span_id, s.begin_ns, s.duration_ns, f"async {lanes[s.span_id][0] + 1}") for s in spans]


def test_an_instant_on_a_full_track_is_shown(trace_processor: TraceProcessor) -> None:
    """It takes no room, and nobody's end."""
    spans = [Span(START_NS + i, START_NS + 5000 - i, i, OUTER) for i in range(MAX_DEPTH + 1)]
    writer = TraceWriter(PROCESS)
    data = writer.descriptors([THREAD]) + encode_thread(writer, THREAD, [spans])
    trace = trace_processor.load(data + writer.instant(THREAD, START_NS + 2000, "events lost", {}))
    assert trace.errors() == []
    assert sorted((s.begin_ns, s.duration_ns, s.name) for s in trace.slices()) == sorted(
        [(s.begin_ns, 5000 - 2 * s.depth, OUTER.name) for s in spans] + [(START_NS + 2000, 0, "events lost")]
    )


def test_an_instant_marks_its_track_and_disturbs_nothing(trace_processor: TraceProcessor) -> None:
    """Between the packets of another thread, with its annotations; one for the process is on the process's track."""
    writer = TraceWriter(PROCESS)
    other = ThreadTrack("stream-2", "other", "99")
    data = writer.descriptors([THREAD, other]) + encode_thread(writer, THREAD, [SPANS[:6]])
    data += writer.instant(THREAD, START_NS + 500, "thread failed", {"error": "не читается"})
    data += writer.instant(None, START_NS + 600, "events lost", {})
    data += encode_thread(writer, other, [SPANS])
    trace = trace_processor.load(data)
    assert trace.errors() == []
    assert thread_slices(trace, PROCESS.name, other.name) == EXPECTED
    mark = (START_NS + 500, 0, 0, "thread failed", None, None, None)
    assert thread_slices(trace, PROCESS.name, THREAD.name) == [*EXPECTED[:6], mark]
    assert thread_slices(trace, PROCESS.name, None) == [(START_NS + 600, 0, 0, "events lost", None, None, None)]
    assert trace.query(
        "SELECT extract_arg(arg_set_id, 'debug.error') AS error FROM slice WHERE name GLOB 'thread*'"
    ) == [{"error": "не читается"}]
