"""Lines of logs, values of counters, and links: what was recorded is in the views and in traces, however it came."""

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from unittest.mock import patch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import at, calls
from tests.model.judge import assert_threads_are_model
from tests.model.lake import Reader, block_batch, deliver, ingest_process, partitioned_like
from tests.model.rows import properties
from tests.model.slices import annotations_of
from tests.model.spans import TimeRange, lost_events, stored_blocks, stream_spans
from tests.model.strategies import ALL_TIME, Delivery, deliveries, effort, processes, times_around
from tests.model.telemetry import LEVELS, Block, Link, LogLine, Moment, MomentStream, Process, Scope, Stream, Value, cut
from tests.model.trace_reader import Slice, Trace, read_trace
from tests.support.trace_processor import LoadedTrace, TraceProcessor
from udtf.errors import InvalidTelemetry
from udtf.lake.lake import Lake
from udtf.perfetto import interning

DELIVERIES = deliveries(processes(max_threads=2, max_async_streams=1, max_moment_streams=4))
Row = tuple[object, ...]


def _moments(
    process: Process, blocks: Iterable[Block], tag: str, time_range: TimeRange
) -> Iterator[tuple[MomentStream, int, Moment]]:
    """What is stored in the range: its stream, its time, itself."""
    blocks = list(blocks)
    for stream in process.of_kind(tag):
        assert isinstance(stream, MomentStream)
        for block in stored_blocks(stream, blocks):
            for moment in block.events:
                time_ns = process.time_ns(moment.ticks)
                if time_range.begin_ns <= time_ns <= time_range.end_ns:
                    yield stream, time_ns, moment


def _logs(
    process: Process, blocks: Iterable[Block], time_range: TimeRange
) -> Iterator[tuple[MomentStream, int, LogLine]]:
    for stream, time_ns, line in _moments(process, blocks, "log", time_range):
        assert isinstance(line, LogLine)
        yield stream, time_ns, line


def _values(
    process: Process, blocks: Iterable[Block], time_range: TimeRange
) -> Iterator[tuple[MomentStream, int, Value]]:
    for stream, time_ns, value in _moments(process, blocks, "measure", time_range):
        assert isinstance(value, Value)
        yield stream, time_ns, value


def _links(
    process: Process, blocks: Iterable[Block], time_range: TimeRange
) -> Iterator[tuple[MomentStream, int, Link]]:
    for stream, time_ns, link in _moments(process, blocks, "link", time_range):
        assert isinstance(link, Link)
        yield stream, time_ns, link


def _thread(stream: MomentStream) -> tuple[str | None, str | None]:
    return (stream.thread.stream_id, stream.thread.thread_name) if stream.thread else (None, None)


def _shown_as(row: dict[str, object], names: str) -> Row:
    values = (row[name] for name in names.split())
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _assert_views_are_model(reader: Reader, delivery: Delivery, time_range: TimeRange) -> None:
    process, blocks = delivery.process, delivery.blocks
    rows = reader.rows(f"SELECT * FROM view_instance('log_entries', '{process.process_id}')", time_range)
    columns = "time level target msg stream_id thread_name name filename line properties"
    assert Counter(_shown_as(row, columns) for row in rows) == Counter(
        (
            time_ns,
            LEVELS[line.level],
            line.scope.target,
            line.msg,
            *_thread(stream),
            *_source(line.scope),
            tuple(properties(line.attributes)),
        )
        for stream, time_ns, line in _logs(process, blocks, time_range)
    )
    rows = reader.rows(f"SELECT * FROM view_instance('measures', '{process.process_id}')", time_range)
    columns = "time name unit value stream_id thread_name target filename line properties"
    assert Counter(_shown_as(row, columns) for row in rows) == Counter(
        (
            time_ns,
            v.scope.name,
            v.unit,
            v.value,
            *_thread(stream),
            v.scope.target,
            v.scope.filename,
            v.scope.line,
            tuple(properties(v.attributes)),
        )
        for stream, time_ns, v in _values(process, blocks, time_range)
    )

    rows = reader.rows(f"SELECT * FROM view_instance('links', '{process.process_id}')", time_range)
    columns = "time stream_id thread_name span_id from_time from_stream_id from_span_id name target filename line"
    assert Counter(_shown_as(row, columns + " properties") for row in rows) == Counter(
        (
            time_ns,
            *_thread(stream),
            link.span_id,
            process.time_ns(link.from_ticks),
            link.from_stream,
            link.from_span_id,
            *link.scope,
            tuple(properties(link.attributes)),
        )
        for stream, time_ns, link in _links(process, blocks, time_range)
    )


def _source(scope: Scope) -> Row:
    return scope.name, scope.filename, scope.line


def _is_moment(mark: Slice) -> bool:
    """Rather than a remark that something is missing, which has no category."""
    return mark.category is not None


def _log_instants(trace: Trace) -> Counter[Row]:
    return Counter(
        (
            track.thread_id,
            mark.begin_ns,
            mark.name,
            mark.annotations.get("level"),
            mark.category,
            mark.source,
            mark.log,
            annotations_of((key, value) for key, value in mark.annotations.items() if key != "level"),
        )
        for track in trace.tracks.values()
        for mark in track.instants
        if _is_moment(mark) and mark.flow is None
    )


def _flows(trace: Trace) -> Counter[Row]:
    """Both ends of each, where they are and what is said there."""
    ends = {
        mark.flow: (track.thread_id, mark.begin_ns, mark.name, mark.category, mark.source, mark)
        for track in trace.tracks.values()
        for mark in track.instants
        if mark.flow is not None
    }
    flows = [flow for flow in ends if flow > 0]
    assert {-flow for flow in flows} | set(flows) == set(ends)
    return Counter(
        (*ends[flow][:5], *ends[-flow][:5], annotations_of(ends[-flow][5].annotations.items())) for flow in flows
    )


def _counter_values(trace: Trace) -> Counter[Row]:
    return Counter(
        (track.thread_id, track.name, track.unit, time_ns, value)
        for track in trace.tracks.values()
        for time_ns, value in track.values
    )


def _thread_id(stream: MomentStream) -> int | None:
    return stream.thread.thread_id if stream.thread else None


def _shown(scope: Scope) -> Row:
    """The name, the category and the source of an instant."""
    return scope.name, scope.target, (scope.filename, scope.line)


def _assert_trace_is_model(trace: Trace, delivery: Delivery, time_range: TimeRange) -> None:
    process, blocks = delivery.process, delivery.blocks
    assert_threads_are_model(trace, process, blocks, "both", time_range)
    assert _log_instants(trace) == Counter(
        (
            _thread_id(stream),
            time_ns,
            line.msg,
            LEVELS[line.level],
            line.scope.target,
            (line.scope.filename, line.scope.line),
            (line.msg, line.level + 1) if stream.thread and line.level else None,
            annotations_of(line.attributes),
        )
        for stream, time_ns, line in _logs(process, blocks, time_range)
    )
    assert _counter_values(trace) == Counter(
        (_thread_id(stream), value.scope.name, value.unit, time_ns, value.value)
        for stream, time_ns, value in _values(process, blocks, time_range)
    )
    tids = {stream.stream_id: stream.thread_id for stream in process.streams}
    assert _flows(trace) == Counter(
        (
            *(tids.get(link.from_stream), process.time_ns(link.from_ticks), *_shown(link.scope)),
            *(_thread_id(stream), time_ns, *_shown(link.scope)),
            annotations_of(link.attributes),
        )
        for stream, time_ns, link in _links(process, blocks, time_range)
    )
    counters = [track for track in trace.tracks.values() if track.unit is not None]
    assert len({(track.thread_id, track.name, track.unit) for track in counters}) == len(counters)


@effort(6)
@given(delivery=DELIVERIES, data=st.data())
def test_views_and_traces_show_what_was_recorded(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """All columns, on the right threads, in any range, cold and warm, cut anywhere."""
    process = delivery.process
    times = [process.time_ns(event.ticks) for stream in process.streams for event in stream.events]
    with partitioned_like(delivery):
        deliver(lake, delivery)
        for _ in ("cold", "warm"):
            time_range = data.draw(st.just(ALL_TIME) | times_around(times))
            _assert_views_are_model(reader, delivery, time_range)
            first, again = (reader.trace_bytes(process.process_id, "all", time_range) for _ in range(2))
            assert first == again
            _assert_trace_is_model(read_trace(first), delivery, time_range)
            spans_only = reader.trace(process.process_id, "both", time_range)
            assert not _log_instants(spans_only)
            assert not _flows(spans_only)
            assert not _counter_values(spans_only)


@effort(5)
@given(delivery=DELIVERIES)
def test_what_is_lost_is_told(lake: Lake, reader: Reader, delivery: Delivery) -> None:
    """Of logs and counters as of spans: on the track of the thread, and beside the rows."""
    process = delivery.process
    with partitioned_like(delivery):
        deliver(lake, delivery)
        trace = reader.trace(process.process_id, "all", ALL_TIME)
    told: Counter[object] = Counter()
    for message in reader.messages:
        if message["type"] == "events_lost":
            told[message["stream_id"]] += int(str(message["nb_events"]))
    lost = {stream: lost_events(stream, delivery.blocks) for stream in process.streams}
    assert told == Counter({stream.stream_id: count for stream, count in lost.items() if count})
    shown: Counter[object] = Counter()
    for track in trace.tracks.values():
        for mark in track.instants:
            if not _is_moment(mark):
                shown[track.thread_id] += int(mark.name.split()[0])
    expected: Counter[object] = Counter()
    for stream, count in lost.items():
        owner = stream.thread if isinstance(stream, MomentStream) else None if stream.is_async else stream
        expected[owner.thread_id if owner else None] += count
    assert +shown == +expected


_LOGS = """
    SELECT ts, prio, tag, msg, tid FROM android_logs JOIN thread USING (utid)
"""
_INSTANTS = """
    SELECT slice.ts, slice.name, slice.category, tid, extract_arg(slice.arg_set_id, 'debug.level') AS level
    FROM slice LEFT JOIN thread_track ON thread_track.id = slice.track_id LEFT JOIN thread USING (utid)
    WHERE slice.dur = 0 AND extract_arg(slice.arg_set_id, 'debug.lost before event') IS NULL
"""
_FLOWS = """
    SELECT ends.*, t1.tid AS from_tid, t2.tid AS tid
    FROM (
        SELECT o.ts AS from_ts, o.name AS from_name, o.track_id AS from_track, i.ts, i.name, i.track_id
        FROM flow JOIN slice o ON o.id = flow.slice_out JOIN slice i ON i.id = flow.slice_in
    ) ends
    LEFT JOIN thread_track t1_track ON t1_track.id = ends.from_track LEFT JOIN thread t1 ON t1.utid = t1_track.utid
    LEFT JOIN thread_track t2_track ON t2_track.id = ends.track_id LEFT JOIN thread t2 ON t2.utid = t2_track.utid
"""
_COUNTERS = """
    SELECT counter.ts, counter.value, counter_track.name, counter_track.unit, thread.tid, process.pid
    FROM counter JOIN counter_track ON counter.track_id = counter_track.id
    LEFT JOIN thread_counter_track ON thread_counter_track.id = counter_track.id
    LEFT JOIN thread USING (utid)
    LEFT JOIN process_counter_track ON process_counter_track.id = counter_track.id
    LEFT JOIN process ON process.upid = process_counter_track.upid
"""


def _spans_of_no_time(process: Process, blocks: Iterable[Block]) -> Counter[Row]:
    """The trace processor tells them from instants no more."""
    return Counter(
        (span.begin_ns, span.scope.name, span.scope.target, None if stream.is_async else stream.thread_id, None)
        for stream in process.of_kind("both")
        for span in stream_spans(process, stream, blocks).spans
        if span.duration_ns == 0
    )


def _assert_loaded_is_model(loaded: LoadedTrace, delivery: Delivery) -> None:
    process, blocks = delivery.process, delivery.blocks
    logs = list(_logs(process, blocks, ALL_TIME))
    tids = {stream.stream_id: stream.thread_id for stream in process.streams}
    links = [
        (
            *(process.time_ns(link.from_ticks), *link.scope[:2], tids.get(link.from_stream)),
            *(time_ns, *link.scope[:2], _thread_id(stream)),
        )
        for stream, time_ns, link in _links(process, blocks, ALL_TIME)
    ]
    assert loaded.errors() == []
    assert Counter(
        (row["ts"], row["name"] or "", row["category"] or "", row["tid"], row["level"])
        for row in loaded.query(_INSTANTS)
    ) == Counter(
        (time_ns, line.msg, line.scope.target, _thread_id(stream), LEVELS[line.level]) for stream, time_ns, line in logs
    ) + _spans_of_no_time(process, blocks) + Counter((*end, None) for link in links for end in (link[:4], link[4:]))
    assert Counter(
        (row["from_ts"], row["from_name"] or "", row["from_tid"], row["ts"], row["name"] or "", row["tid"])
        for row in loaded.query(_FLOWS)
    ) == Counter((*link[:2], link[3], *link[4:6], link[7]) for link in links)
    assert Counter((row["ts"], row["prio"], row["msg"] or "", row["tid"]) for row in loaded.query(_LOGS)) == Counter(
        (time_ns, line.level + 1, line.msg, _thread_id(stream))
        for stream, time_ns, line in logs
        if stream.thread and line.level
    )
    assert Counter(
        (row["ts"], row["value"], row["name"] or "", row["unit"] or "", row["tid"], row["pid"])
        for row in loaded.query(_COUNTERS)
    ) == Counter(
        (time_ns, v.value, v.scope.name, v.unit, _thread_id(stream), None if stream.thread else 4242)
        for stream, time_ns, v in _values(process, blocks, ALL_TIME)
    )


@effort(5)
@given(delivery=DELIVERIES)
def test_the_trace_processor_sees_logs_counters_and_links(
    lake: Lake, reader: Reader, trace_processor: TraceProcessor, delivery: Delivery
) -> None:
    """Instants, the table of logs, counters, and flows, row by row, and no error in its statistics."""
    texts = [
        text
        for stream in delivery.process.streams
        for event in stream.events
        for text in (*event.scope[:3], getattr(event, "msg", ""))
    ]
    assume("\0" not in "".join(texts))  # The trace processor's answers cannot hold it.
    with partitioned_like(delivery):
        deliver(lake, delivery)
        trace = reader.trace_bytes(delivery.process.process_id, "all", ALL_TIME)
    _assert_loaded_is_model(trace_processor.load(trace), delivery)


@effort(5)
@given(delivery=deliveries())
def test_where_there_are_none_everything_is_all_spans(lake: Lake, reader: Reader, delivery: Delivery) -> None:
    """Not a byte more."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        process_id = delivery.process.process_id
        spans = reader.trace_bytes(process_id, "both", ALL_TIME)
        assert reader.trace_bytes(process_id, "all", ALL_TIME) == spans


def _process_of(*moments: Moment, kind: str, thread: Stream | None = None) -> Process:
    stream = MomentStream(str(uuid.uuid4()), False, "", 1, tuple(moments), kind, thread)
    return examples.process(*([thread] if thread else []), stream)


_HERE = Scope("f", "app", "app.py", 10)


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (LogLine(7, _HERE, 7, "hello"), r"column 'level' is 7 at event 1, expected 0 \(none\) to 6 \(fatal\)"),
        (LogLine(7, _HERE, 1, "x" * 16_384), "column 'msg' has 16384 bytes at event 1, expected at most 16383"),
        (Value(7, _HERE, "B", math.nan), "column 'value' is NaN at event 1, expected a number"),
        (Value(7, _HERE, "x" * 16_384, 1.0), "column 'unit' has 16384 bytes"),
        (Link(7, _HERE, 8, "s"), "column 'from_ticks' is 8 at event 1, expected at most 'ticks', 7"),
        (Link(7, _HERE, 7, "x" * 16_384), "column 'from_stream' has 16384 bytes"),
    ],
)
def test_what_is_wrong_is_refused(moment: Moment, message: str, lake: Lake) -> None:
    kind, right = {
        LogLine: ("log", LogLine(0, _HERE, 6, "x" * 16_383)),
        Value: ("measure", Value(0, _HERE, "", 0)),
        Link: ("link", Link(0, _HERE, 0, "x" * 16_383)),
    }[type(moment)]
    process = _process_of(right, moment, kind=kind)
    ingest_process(lake, process)
    (stream,) = process.streams
    with pytest.raises(InvalidTelemetry, match=message):
        lake.ingest("blocks", block_batch(cut(stream, [])))
    lake.ingest("blocks", block_batch(cut(stream, [1])[:1]))


def test_what_is_of_an_unknown_thread_is_on_the_track_of_the_process(lake: Lake, reader: Reader) -> None:
    """It is shown, and SQL tells what it said of its thread."""
    thread = examples.thread(*calls(1))
    stream = MomentStream(str(uuid.uuid4()), False, "gone", 1, (LogLine(5, _HERE, 3, "hello"),), "log", thread)
    process = examples.process(stream)
    deliver(lake, Delivery(process, (cut(stream, []),)))
    trace = reader.trace(process.process_id, "all", ALL_TIME)
    assert [
        (t.thread_id, mark.begin_ns, mark.name, mark.log) for t in trace.tracks.values() for mark in t.instants
    ] == [(None, at(5), "hello", None)]
    rows = reader.rows(f"SELECT thread_name, msg FROM view_instance('log_entries', '{process.process_id}')")
    assert rows == [{"thread_name": "gone", "msg": "hello"}]


@pytest.mark.parametrize("tsc_frequency", [10**9, 3_000_000_000, 1_000])
def test_what_caused_something_before_1970_did_so_then(lake: Lake, reader: Reader, tsc_frequency: int) -> None:
    """No time of a link is refused, however long ago, and none makes a trace that cannot be read."""
    links = tuple(Link(5, _HERE, from_ticks, "gone") for from_ticks in (-(2**63), -(2**60), 5))
    stream = MomentStream(str(uuid.uuid4()), False, "", 1, links, "link", None)
    process = examples.process(stream, tsc_frequency=tsc_frequency)
    deliver(lake, Delivery(process, (cut(stream, []),)))
    rows = reader.rows(f"SELECT from_time FROM view_instance('links', '{process.process_id}')")
    assert [row["from_time"] for row in rows] == [max(process.time_ns(link.from_ticks), 0) for link in links]
    assert sum(_flows(reader.trace(process.process_id, "all", ALL_TIME)).values()) == 3


def test_messages_are_interned_anew_before_memory_grows(lake: Lake, reader: Reader) -> None:
    """A message that comes again later is defined again, under another id."""
    lines = [LogLine(10 * i, _HERE, 3, f"line {i % 50}") for i in range(200)]
    process = _process_of(*lines, kind="log", thread=examples.thread(*calls(1)))
    delivery = Delivery(
        process,
        (cut(process.streams[0], []), *([b] for b in cut(process.streams[1], range(0, 200, 20)))),
        20,
        window_events=1,
    )
    with partitioned_like(delivery), patch.object(interning, "_MAX_MESSAGES", 30):
        deliver(lake, delivery)
        _assert_trace_is_model(reader.trace(process.process_id, "all", ALL_TIME), delivery, ALL_TIME)
        definitions = reader.trace_bytes(process.process_id, "all", ALL_TIME).count(b"line 7")
    assert definitions > 2
