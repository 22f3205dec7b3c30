"""Where time went: by function, by stack of calls, by how long spans took. The model adds up one span at a time."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import at, begin, end, task_begin, task_end
from tests.model.lake import Reader, deliver, ingest_blocks, ingest_process, partitioned_like, text_literal, timestamp
from tests.model.rows import Row
from tests.model.spans import Span, TimeRange, stream_spans
from tests.model.strategies import ALL_TIME, Delivery, deliveries, effort, time_ranges
from tests.model.telemetry import Process, Stream, cut
from udtf.errors import InvalidArgument, NotFound
from udtf.functions import profile
from udtf.lake.lake import Lake

Stack = tuple[str, ...]
Times = dict[object, list[int]]
"""Spans, total and self time by key."""


def _range(chosen: TimeRange | None) -> str:
    return "" if chosen is None else f", {timestamp(chosen.begin_ns)}, {timestamp(chosen.end_ns)}"


def _time_ns(span: Span, chosen: TimeRange | None) -> int:
    if span.end_ns is None:
        return 0
    if chosen is None:
        return span.end_ns - span.begin_ns
    return min(span.end_ns, chosen.end_ns) - max(span.begin_ns, chosen.begin_ns)


def _times_of_model(delivery: Delivery, chosen: TimeRange | None) -> tuple[Times, Times]:
    """By function and by stack."""
    by_function: Times = defaultdict(lambda: [0, 0, 0])
    by_stack: Times = defaultdict(lambda: [0, 0, 0])
    for stream in delivery.process.of_kind("both"):
        all_spans = {span.id: span for span in stream_spans(delivery.process, stream, delivery.blocks).spans}
        around = {span.id: _around(span, all_spans.get(span.parent), stream, chosen) for span in all_spans.values()}
        stacks: dict[int, Stack] = {}
        for span in sorted(all_spans.values(), key=lambda each: each.depth):
            outer = around[span.id]
            stacks[span.id] = (*(stacks[outer.id] if outer else ()), span.scope.name.replace(";", ","))
        for span in all_spans.values():
            if not span.overlaps(chosen):
                continue
            time_ns = _time_ns(span, chosen)
            outer = around[span.id]
            for times, key, key_around in (
                (by_function, _function(span), outer and _function(outer)),
                (by_stack, stacks[span.id], outer and stacks[outer.id]),
            ):
                times[key] = [times[key][0] + 1, times[key][1] + time_ns, times[key][2] + time_ns]
                if outer is not None and not stream.is_async and outer.end_ns is not None:
                    times[key_around][2] -= time_ns
            if stream.is_async:
                inside = [inner for inner in all_spans.values() if inner.overlaps(chosen) and around[inner.id] is span]
                taken_ns = _shared_ns(span, inside, chosen)
                by_function[_function(span)][2] -= taken_ns
                by_stack[stacks[span.id]][2] -= taken_ns
    return by_function, by_stack


def _around(span: Span, parent: Span | None, stream: Stream, chosen: TimeRange | None) -> Span | None:
    """The span that another one is inside of; a task may begin when its parent has ended."""
    if parent is None or not stream.is_async:
        return parent
    goes_on = parent.begin_ns <= span.begin_ns and (parent.end_ns is None or span.begin_ns < parent.end_ns)
    return parent if goes_on and parent.overlaps(chosen) else None


def _shared_ns(outer: Span, inside: list[Span], chosen: TimeRange | None) -> int:
    """How much of a span's time those inside of it take, together."""
    limits = chosen or ALL_TIME
    taken_ns, covered_ns = 0, limits.begin_ns
    if outer.end_ns is None:
        return 0
    for inner in sorted(inside, key=lambda each: each.begin_ns):
        if inner.end_ns is not None:
            end_ns = min(inner.end_ns, outer.end_ns, limits.end_ns)
            taken_ns += max(0, end_ns - max(inner.begin_ns, covered_ns))
            covered_ns = max(covered_ns, end_ns)
    return taken_ns


def _function(span: Span) -> tuple[str, str, str, int]:
    scope = span.scope
    return scope.name, scope.target, scope.filename, scope.line


@effort(10)
@given(delivery=deliveries(), data=st.data())
def test_times_are_those_of_the_model(lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject) -> None:
    """However telemetry came, and whatever was lost of it."""
    process = delivery.process
    spans = [span for stream in process.streams for span in stream_spans(process, stream, delivery.blocks).spans]
    chosen = data.draw(st.none() | time_ranges(spans))
    name = data.draw(st.sampled_from(sorted({span.scope.name for span in spans}) or ["f"]))
    with partitioned_like(delivery):
        deliver(lake, delivery)
        arguments = text_literal(process.process_id)
        functions = reader.rows(f"SELECT * FROM self_time({arguments}{_range(chosen)})")
        stacks = reader.rows(f"SELECT * FROM flamegraph({arguments}{_range(chosen)})")
        buckets = reader.rows(f"SELECT * FROM latency_histogram({arguments}, {text_literal(name)}{_range(chosen)})")
    by_function, by_stack = _times_of_model(delivery, chosen)
    assert _told(functions, "name", "target", "filename", "line") == by_function
    # Functions of one name are one frame to the reader of a stack.
    folded: Times = defaultdict(lambda: [0, 0, 0])
    for row in stacks:
        assert str(row["stack"]).count(";") == row["depth"]
        for place, column in enumerate(("spans", "total_ns", "self_ns")):
            folded[row["stack"]][place] += int(str(row[column]))
    expected = {";".join(stack): times for stack, times in by_stack.items() if isinstance(stack, tuple)}
    assert folded == expected
    durations = [
        span.end_ns - span.begin_ns
        for span in spans
        if span.scope.name == name and span.end_ns is not None and span.overlaps(chosen)
    ]
    _check_histogram(buckets, durations)


def _told(rows: list[Row], *names: str) -> Times:
    return {
        tuple(row[name] for name in names): [int(str(row[name])) for name in ("spans", "total_ns", "self_ns")]
        for row in rows
    }


def _check_histogram(buckets: list[Row], durations: list[int]) -> None:
    found = Counter()
    for row in buckets:
        low, high = int(str(row["at_least_ns"])), int(str(row["below_ns"]))
        inside = [duration for duration in durations if low <= duration < high]
        assert row["spans"] == len(inside)
        assert row["share_below"] == pytest.approx(sum(duration < high for duration in durations) / len(durations))
        found.update(inside)
    assert found == Counter(durations)
    for earlier, later in pairwise(buckets):
        assert earlier["below_ns"] == later["at_least_ns"]
    if buckets:
        assert buckets[0]["spans"]
        assert buckets[-1]["spans"]


@pytest.fixture
def process(lake: Lake) -> Process:
    """A thread that calls `a`, in it twice `b`, and a task beside it."""
    events = (
        begin(0, "a"),
        begin(10, "b"),
        end(30),
        begin(40, "b"),
        end(45),
        end(100),
        begin(200, "open;"),
        begin(210, "c"),
        end(230),
    )
    made = examples.process(
        examples.thread(*events), examples.tasks(task_begin(5, 1, name="b"), task_end(405, 1, name="b"))
    )
    ingest_process(lake, made)
    for stream in made.streams:
        ingest_blocks(lake, cut(stream, []))
    return made


def test_self_time_of_functions(reader: Reader, process: Process) -> None:
    """Most first; what has not ended counts without a time."""
    rows = reader.rows(f"SELECT name, spans, total_ns, self_ns FROM self_time('{process.process_id}')")
    assert [tuple(row.values()) for row in rows] == [
        ("b", 3, 425, 425),
        ("a", 1, 100, 75),
        ("c", 1, 20, 20),
        ("open;", 1, 0, 0),
    ]
    half = f"{timestamp(at(20))}, {timestamp(at(42))}"
    rows = reader.rows(f"SELECT name, spans, total_ns, self_ns FROM self_time('{process.process_id}', {half})")
    assert [tuple(row.values()) for row in rows] == [("b", 3, 34, 34), ("a", 1, 22, 10)]


def test_stacks_of_calls(reader: Reader, process: Process) -> None:
    """As `flamegraph.pl` and speedscope read them: stack, space, number."""
    rows = reader.rows(
        f"SELECT stack || ' ' || self_ns AS line, depth FROM flamegraph('{process.process_id}') ORDER BY stack"
    )
    assert [(row["line"], row["depth"]) for row in rows] == [
        ("a 75", 0),
        ("a;b 25", 1),
        ("b 400", 0),
        ("open, 0", 0),
        ("open,;c 20", 1),
    ]


def test_how_long_spans_took(reader: Reader, process: Process) -> None:
    """Those of threads and tasks in one."""
    rows = reader.rows(f"SELECT * FROM latency_histogram('{process.process_id}', 'b') WHERE spans > 0")
    assert [(row["at_least_ns"], row["below_ns"], row["spans"]) for row in rows] == [
        (5, 6, 1),
        (19, 22, 1),
        (362, 430, 1),
    ]
    assert reader.rows(f"SELECT * FROM latency_histogram('{process.process_id}', 'none')") == []


def test_deep_stacks_are_cut(lake: Lake, reader: Reader) -> None:
    """What is below counts for the last frame that is shown; nothing is lost of the time, nor of the functions."""
    depth = 2 * profile.MAX_STACK_FRAMES
    events = [begin(i, "r") for i in range(depth)] + [end(1000 + i) for i in range(depth)]
    made = examples.process(examples.thread(*events))
    ingest_process(lake, made)
    ingest_blocks(lake, cut(made.streams[0], [7, depth]))
    stacks = reader.rows(f"SELECT * FROM flamegraph('{made.process_id}')")
    assert len(stacks) == profile.MAX_STACK_FRAMES
    assert sum(int(str(row["self_ns"])) for row in stacks) == 1000 + depth - 1
    (function,) = reader.rows(f"SELECT * FROM self_time('{made.process_id}')")
    assert (function["spans"], function["self_ns"]) == (depth, 1000 + depth - 1)


@pytest.mark.parametrize("call", ["self_time('P'{0})", "flamegraph('P'{0})", "latency_histogram('P', 'f'{0})"])
def test_wrong_arguments_are_refused(reader: Reader, process: Process, call: str) -> None:
    """While planning."""
    with pytest.raises(NotFound, match="'P'"):
        reader.plan(f"SELECT * FROM {call.format('')}")
    turned = f", {timestamp(at(2))}, {timestamp(at(1))}"
    with pytest.raises(InvalidArgument, match="ends before it begins"):
        reader.plan(f"SELECT * FROM {call.format(turned)}".replace("'P'", f"'{process.process_id}'"))
