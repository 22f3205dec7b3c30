"""Whole spans: however uploads cut and order them, each is in every range that it overlaps, with begin and end."""

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.telemetry import Block, WholeSpans, blocks_batch, cut_blocks, streams_batch, whole_stream
from flightsrv.tracing.attributes import encode
from tests.model import examples
from tests.model.lake import Reader, ingest_process
from tests.model.spans import TimeRange
from tests.model.strategies import ALL_TIME, effort, times_around
from tests.model.telemetry import Process
from tests.model.trace_reader import Slice, Trace, Track, read_trace
from tests.support.trace_processor import TraceProcessor
from udtf.errors import InvalidTelemetry
from udtf.lake import history, partition_file, view
from udtf.lake.block_format import Scope, scope_array
from udtf.lake.lake import Lake
from udtf.perfetto import whole_spans

THREADS = (None, "main", "worker")


@dataclass(frozen=True)
class Span:
    """As it was recorded; `thread` is a place in `THREADS`."""

    begin: int
    end: int
    span_id: int
    parent: int
    name: str
    thread: int
    size: int = -1
    """An attribute, unless it is negative."""


@dataclass(frozen=True)
class Sent:
    """Spans as they are sent, upload by upload, each a part for each thread; and how partitions are to be cut."""

    spans: Sequence[Span]
    uploads: Sequence[Sequence[Span]]
    is_appended: bool
    partition_events: int
    fan_out: int
    window_events: int
    rows_at_once: int
    order: Sequence[int]
    """In which order uploads come, where their ordinals are given."""


@st.composite
def sendings(draw: st.DrawFn) -> Sent:
    dice = draw(st.randoms(use_true_random=False))
    spans: list[Span] = []
    size = draw(st.integers(1, 80))
    for number in range(size):
        begin = dice.randrange(0, 1000)
        longest = dice.choice([0, 1, 5, 5, 50, 2000])
        parent = dice.choice(spans).span_id if spans and dice.random() < 0.6 else 0
        end = begin + dice.randint(0, longest)
        spans.append(
            Span(
                begin,
                end,
                dice.choice([1, -1]) * (number + 2),
                parent,
                f"s{number % 7}",
                dice.randrange(3),
                dice.randint(-5, 5),
            )
        )
    # As they end, but for those that are late.
    arrived = sorted(spans, key=lambda span: span.end + dice.choice([0, 0, 0, 30, 1500]))
    uploads = []
    while arrived:
        count = dice.randint(1, max(1, size // dice.randint(1, 20)))
        uploads.append(arrived[:count])
        arrived = arrived[count:]
    order = list(range(len(uploads)))
    if draw(st.booleans()):
        dice.shuffle(order)
    return Sent(
        spans,
        uploads,
        draw(st.booleans()),
        draw(st.sampled_from([1, 4, 16, 1 << 16])),
        draw(st.sampled_from([2, 3, 8])),
        draw(st.sampled_from([1, 20, 1 << 20])),
        draw(st.sampled_from([1, 8192])),
        order,
    )


@contextmanager
def cut_like(sent: Sent) -> Iterator[None]:
    with ExitStack() as stack:
        for target, name, value in (
            (history, "MAX_PARTITION_EVENTS", sent.partition_events),
            (history, "FAN_OUT", sent.fan_out),
            (view, "WINDOW_EVENTS", sent.window_events),
            (partition_file, "ROW_GROUP_ROWS", 5),
            (whole_spans, "_ROWS_AT_ONCE", sent.rows_at_once),
        ):
            stack.enter_context(patch.object(target, name, value))
        yield


def columns_of(spans: Sequence[Span]) -> WholeSpans:
    names = sorted({span.name for span in spans})
    return WholeSpans(
        np.array([span.begin for span in spans], np.int64),
        np.array([span.end for span in spans], np.int64),
        np.array([names.index(span.name) for span in spans], np.int32),
        scope_array([Scope(name, "app", "app.py", 7) for name in names]),
        np.array([span.span_id for span in spans], np.int64),
        np.array([span.parent for span in spans], np.int64),
        pa.array([encode({"size": span.size}) if span.size >= 0 else b"" for span in spans], pa.binary()),
    )


def stored(lake: Lake, sent: Sent) -> Process:
    """A process with all uploads; some come twice."""
    process = examples.process()
    ingest_process(lake, process)
    streams = [
        whole_stream(f"{process.process_id}-{i}", process.process_id, name or "", str(i) if name else "")
        for i, name in enumerate(THREADS)
    ]
    lake.ingest("streams", streams_batch(streams))
    batches: list[pa.RecordBatch] = []
    sizes = [0, 0, 0]
    for upload in sent.uploads:
        blocks: list[Block] = []
        for i, stream in enumerate(streams):
            of_thread = [span for span in upload if span.thread == i]
            first = None if sent.is_appended else sizes[i]
            blocks += cut_blocks(stream, columns_of(of_thread), first) if of_thread else []
            sizes[i] += len(of_thread)
        batches.append(blocks_batch(blocks))
    for number in range(len(batches)) if sent.is_appended else sent.order:
        lake.ingest("blocks", batches[number])
        if number % 3 == 0:
            lake.ingest("blocks", batches[number])
    return process


def shown(sent: Sent, process: Process, time_range: TimeRange) -> list[Span]:
    """The model: what overlaps."""
    begin_ns, end_ns = time_range.begin_ns, time_range.end_ns
    times = process.time_ns
    return [span for span in sent.spans if times(span.begin) <= end_ns and times(span.end) >= begin_ns]


def assert_rows_are_model(reader: Reader, sent: Sent, process: Process, time_range: TimeRange) -> None:
    expected = Counter(
        (
            f"{process.process_id}-{span.thread}",
            THREADS[span.thread] or "",
            span.span_id,
            span.parent,
            int(span.parent != 0),
            process.time_ns(span.begin),
            process.time_ns(span.end),
            process.time_ns(span.end) - process.time_ns(span.begin),
            span.name,
            (("size", str(span.size)),) * (span.size >= 0),
        )
        for span in shown(sent, process, time_range)
    )
    columns = ("stream_id", "thread_name", "id", "parent", "depth", "begin", "end", "duration", "name")
    for source in ("view_instance('whole_spans', '{}')", "process_spans('{}', 'async')", "process_spans('{}', 'both')"):
        rows = reader.rows(f"SELECT * FROM {source.format(process.process_id)}", time_range)
        assert Counter((*(row[name] for name in columns), tuple(row["properties"])) for row in rows) == expected  # type: ignore[arg-type]
    assert reader.messages == []


def assert_trace_is_model(reader: Reader, sent: Sent, process: Process, time_range: TimeRange) -> Trace:
    trace = reader.trace(process.process_id, "all", time_range)
    spans = shown(sent, process, time_range)
    slices = [(track, each) for track in trace.tracks.values() for each in track.slices]
    assert Counter((s.begin_ns, s.duration_ns, s.name, s.annotations.get("size", -1)) for _, s in slices) == Counter(
        (
            process.time_ns(span.begin),
            process.time_ns(span.end) - process.time_ns(span.begin),
            span.name,
            max(span.size, -1),
        )
        for span in spans
    )
    # A thread's track has spans of that thread alone, and each of these that nests in the ones before.
    by_thread: dict[str, list[Slice]] = defaultdict(list)
    for track, each in slices:
        if track.thread_name:
            by_thread[track.thread_name].append(each)
    for number, name in enumerate(THREADS):
        if name:
            of_thread = [span for span in spans if span.thread == number]
            assert Counter((each.begin_ns, each.duration_ns) for each in by_thread[name]) == Counter(
                nested(of_thread, process)
            )
    # On a lane, what is inside of a span is its child.
    parents = {(span.name, process.time_ns(span.begin), process.time_ns(span.end)): [] for span in spans}  # type: ignore[var-annotated]
    for span in spans:
        parents[span.name, process.time_ns(span.begin), process.time_ns(span.end)].append(span)
    for track, each in slices:
        if track.thread_name is None and each.parent is not None:
            inner, outer = (parents[s.name, s.begin_ns, s.begin_ns + s.duration_ns] for s in (each, each.parent))
            assert {span.parent for span in inner} & {span.span_id for span in outer}
    return trace


def nested(spans: Sequence[Span], process: Process) -> Iterator[tuple[int, int]]:
    """Begins and durations of the spans of a thread that are on its track."""
    stack: list[int] = []
    for begin_ns, end_ns in sorted(
        ((process.time_ns(span.begin), process.time_ns(span.end)) for span in spans),
        key=lambda span: (span[0], -span[1]),
    ):
        while stack and stack[-1] <= begin_ns:
            stack.pop()
        if not stack or end_ns <= stack[-1]:
            stack.append(end_ns)
            yield begin_ns, end_ns - begin_ns


@effort(10)
@given(sent=sendings(), data=st.data())
def test_whole_spans_are_what_was_sent(sent: Sent, data: st.DataObject, lake: Lake, reader: Reader) -> None:
    """In SQL and in traces, at all times and in ranges, built and read again."""
    with cut_like(sent):
        process = stored(lake, sent)
        times = [process.time_ns(time) for span in sent.spans for time in (span.begin, span.end)]
        ranges = [ALL_TIME, *(data.draw(times_around(times)) for _ in range(3))]
        for time_range in ranges:
            assert_rows_are_model(reader, sent, process, time_range)
        for time_range in ranges:
            assert_trace_is_model(reader, sent, process, time_range)


Stack = tuple[str, ...]


def profile_of(spans: Sequence[Span], process: Process, time_range: TimeRange) -> dict[Stack, list[int]]:
    """The model: spans, total and self time of each stack."""
    by_id = {span.span_id: span for span in spans}

    def within(span: Span, limits: Sequence[int]) -> tuple[int, int]:
        begin, end = max(process.time_ns(span.begin), limits[0]), min(process.time_ns(span.end), limits[1])
        return begin, max(begin, end)

    def around(span: Span) -> Span | None:
        parent = by_id.get(span.parent)
        return parent if parent is not None and parent.begin <= span.begin < parent.end else None

    def stack(span: Span) -> Stack:
        outer = around(span)
        return (*(stack(outer) if outer else ()), span.name)

    found: dict[Stack, list[int]] = defaultdict(lambda: [0, 0, 0])
    for span in spans:
        limits = within(span, (time_range.begin_ns, time_range.end_ns))
        covered, self_ns = limits[0], limits[1] - limits[0]
        for begin, end in sorted(within(inner, limits) for inner in spans if around(inner) is span):
            self_ns -= max(0, end - max(begin, covered))
            covered = max(covered, end)
        times = found[stack(span)]
        found[stack(span)] = [times[0] + 1, times[1] + limits[1] - limits[0], times[2] + self_ns]
    return found


def told(rows: Sequence[dict[str, object]], name: str) -> dict[object, list[object]]:
    return {row[name]: [row["spans"], row["total_ns"], row["self_ns"]] for row in rows}


@effort(25)
@given(sent=sendings(), data=st.data())
def test_where_their_time_went(sent: Sent, data: st.DataObject, lake: Lake, reader: Reader) -> None:
    """By stack and by function, in all and in a range, however they came."""
    with cut_like(sent):
        process = stored(lake, sent)
        times = [process.time_ns(time) for span in sent.spans for time in (span.begin, span.end)]
        for time_range in (ALL_TIME, data.draw(times_around(times))):
            expected = profile_of(shown(sent, process, time_range), process, time_range)
            stacks = reader.rows(f"SELECT * FROM flamegraph('{process.process_id}')", time_range)
            assert told(stacks, "stack") == {";".join(stack): times for stack, times in expected.items()}
            assert {(str(row["stack"]).count(";"), row["name"]) for row in stacks} == {
                (row["depth"], str(row["stack"]).split(";")[-1]) for row in stacks
            }
            functions: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
            for stack, sums in expected.items():
                functions[stack[-1]] = [sum(pair) for pair in zip(functions[stack[-1]], sums, strict=True)]
            rows = reader.rows(f"SELECT * FROM self_time('{process.process_id}')", time_range)
            assert told(rows, "name") == functions


def test_time_of_spans_that_begin_together(lake: Lake, reader: Reader) -> None:
    """A parent may come after its child; what says that it is inside of itself is not."""
    spans = [
        Span(0, 10, 2, 1, "child", 0),
        Span(0, 10, 1, 0, "parent", 0),
        Span(20, 30, 3, 4, "chicken", 0),
        Span(20, 30, 4, 3, "egg", 1),
        Span(20, 25, 5, 3, "feather", 0),
        Span(40, 50, 6, 6, "self", 0),
    ]
    process = stored(lake, Sent(spans, [spans], True, 1 << 16, 8, 1 << 20, 8192, [0]))
    rows = reader.rows(f"SELECT stack, self_ns FROM flamegraph('{process.process_id}')")
    length = process.time_ns(10) - process.time_ns(0)
    assert {row["stack"]: row["self_ns"] for row in rows} == {
        "parent": 0,
        "parent;child": length,
        "chicken": length - length // 2,
        "chicken;feather": length // 2,
        "egg": length,
        "self": length,
    }


@effort(5)
@given(sent=sendings())
def test_the_trace_processor_reads_them(
    sent: Sent, lake: Lake, reader: Reader, trace_processor: TraceProcessor
) -> None:
    """Perfetto's own, slice by slice."""
    process = stored(lake, sent)
    data = reader.trace_bytes(process.process_id, "async", ALL_TIME)
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    ours = read_trace(data)
    assert Counter((s.thread_name, s.begin_ns, s.duration_ns, s.depth, s.name) for s in loaded.slices()) == Counter(
        (track.thread_name, s.begin_ns, s.duration_ns, s.depth, s.name)
        for track in ours.tracks.values()
        for s in track.slices
    )


def test_children_are_under_their_parents(lake: Lake, reader: Reader) -> None:
    """On lanes; what nests on a thread is on its track."""
    spans = (
        Span(0, 100, 1, 0, "request", 0),
        Span(10, 40, 2, 1, "query", 0),
        Span(20, 60, 3, 1, "render", 0),
        Span(0, 50, 4, 0, "call", 1),
        Span(10, 50, 5, 4, "inner", 1),
        Span(30, 70, 6, 4, "outlives", 1),
    )
    sent = Sent(spans, [spans[3:], spans[:3]], True, 1 << 16, 8, 1 << 20, 8192, [0, 1])
    process = stored(lake, sent)
    trace = assert_trace_is_model(reader, sent, process, ALL_TIME)

    def names(track: Track) -> list[tuple[str, int]]:
        return [(each.name, each.depth) for each in track.slices]

    on_threads = {track.thread_name: names(track) for track in trace.thread_tracks}
    assert on_threads == {"main": [("call", 0), ("inner", 1)], "worker": []}
    lanes = sorted((track.name, names(track)) for track in trace.lanes)
    assert lanes == [
        ("async 1", [("request", 0), ("query", 1)]),
        ("async 2", [("render", 0)]),
        ("async 3", [("outlives", 0)]),
    ]


def test_a_long_span_does_not_make_its_time_expensive(lake: Lake, reader: Reader) -> None:
    """Long spans end in every upload of a short time; for a moment in between, a few uploads are read."""
    dice = random.Random(1)
    spans, uploads = [], []
    for number in range(600):
        upload = [
            Span(2 * number + dice.randrange(2), 2 * number + 2, 100 * number + i + 1, 0, "short", 0) for i in range(20)
        ]
        upload += [Span(2 * number - 400, 2 * number + 1, 100 * number + 50, 0, "long", 0)]
        spans += upload
        uploads.append(upload)
    sent = Sent(spans, uploads, True, 1 << 17, 8, 1 << 20, 8192, range(600))
    with patch.object(history, "MAX_PARTITION_SEGMENTS", 8):
        process = stored(lake, sent)
        middle = process.time_ns(500)
        time_range = TimeRange(middle, middle)
        expected = len(shown(sent, process, time_range))
        telemetry = lake.telemetry_of(process.process_id)
        sql = f"SELECT name FROM process_spans('{process.process_id}', 'async')"
        assert len(reader.rows(sql, time_range)) == expected > 150
        rows = reader.rows(f"SELECT nb_rows FROM list_partitions() WHERE process_id = '{process.process_id}'")
    assert sum(int(str(row["nb_rows"])) for row in rows) < 1000
    largest = lake._sources.histories.of(telemetry.history, history.largest_stretches(telemetry.history.nb_segments))
    loose = [index.loose for stretch in largest if (index := stretch.index_of("whole_spans"))]
    assert sum(len(events) for events in loose) < 1000


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (Span(5, 4, 1, 0, "backwards", 0), "column 'end_ticks' is 4 at event 0, expected 5 or more"),
        (Span(5, 6, 0, 0, "none", 0), "column 'span_id' is 0 at event 0"),
    ],
)
def test_what_is_wrong_is_refused(span: Span, message: str, lake: Lake) -> None:
    process = examples.process()
    ingest_process(lake, process)
    stream = whole_stream(str(uuid.uuid4()), process.process_id)
    lake.ingest("streams", streams_batch([stream]))
    with pytest.raises(InvalidTelemetry, match=message):
        lake.ingest("blocks", blocks_batch(list(cut_blocks(stream, columns_of([span]), None))))
