"""Random telemetry: trees of every shape, clocks of every speed, blocks cut, lost, shuffled, sent twice.

A thread's events come from small decisions, so that Hypothesis shrinks a failing tree to few events.
Shapes that need many events, deep and wide and long, grow from a seed.
"""

import math
import os
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.model.spans import Span, TimeRange
from tests.model.telemetry import (
    BEGIN,
    END,
    FLOATS,
    LEVELS,
    Attributes,
    Block,
    Event,
    Json,
    Link,
    LogLine,
    Moment,
    MomentStream,
    Process,
    Scope,
    Stream,
    Value,
    cut,
)

TEXTS = st.one_of(
    st.sampled_from(["f", "g", "parse", "", " ", "名前", "имя", "اسم", "नाम", "a\nb", 'say "hi"', "🧵", "e\u0301"]),
    st.text(max_size=8),
)
SCOPES = st.builds(
    Scope,
    TEXTS,
    st.sampled_from(["app", "app::net", ""]),
    TEXTS,
    st.integers(min_value=0, max_value=2**32 - 1),
)
CLOCKS = st.sampled_from([10**9, 10**9, 10**7, 3_000_000_000, 2_999_999_999, 24_000_000, 19_200_000, 1_000, 1, 7])
StreamT = TypeVar("StreamT", bound=Stream)
START_TIME_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z

_thread_ids = count(1000)


@st.composite
def _step_events(draw: st.DrawFn, scopes: list[Scope], first_ticks: int) -> tuple[Event, ...]:
    """Begins and ends by small decisions; spans that never end come about by themselves."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([BEGIN, BEGIN, BEGIN, END, END, END]),
                st.sampled_from([0, 0, 1, 2, 5, 1000, 10**6]),
                st.integers(0, len(scopes) - 1),
            ),
            min_size=draw(st.sampled_from([0, 5, 15])),
            max_size=40,
        )
    )
    orphans_wanted = draw(st.booleans())
    return _thread_events(steps, scopes, first_ticks, orphans_wanted)


def _thread_events(
    steps: list[tuple[int, int, int]], scopes: list[Scope], first_ticks: int, orphans_wanted: bool
) -> tuple[Event, ...]:
    events: list[Event] = []
    open_scopes: list[Scope] = []
    ticks = first_ticks
    for kind, pause, code in steps:
        ticks += pause
        if kind == BEGIN:
            open_scopes.append(scopes[code])
            events.append(Event(ticks, BEGIN, scopes[code]))
        elif open_scopes:
            events.append(Event(ticks, END, open_scopes.pop()))
        elif orphans_wanted:
            events.append(Event(ticks, END, scopes[code]))
    return tuple(events)


def _grown_steps(shape: str, size: int, dice: random.Random, nb_scopes: int) -> list[tuple[int, int, int]]:
    def step(kind: int) -> tuple[int, int, int]:
        return kind, dice.choice([0, 0, 1, 3, 100]), dice.randrange(nb_scopes)

    if shape == "deep":
        unended = dice.choice([0, 0, 1, size // 2])
        return [step(BEGIN) for _ in range(size)] + [step(END) for _ in range(size - unended)]
    if shape == "wide":
        children = [step(kind) for _ in range(size) for kind in (BEGIN, END)]
        return [step(BEGIN), *children, step(END)] if dice.random() < 0.5 else children
    return [step(BEGIN if dice.random() < 0.5 else END) for _ in range(2 * size)]


@st.composite
def _grown_events(draw: st.DrawFn, scopes: list[Scope], first_ticks: int) -> tuple[Event, ...]:
    """Many events from one seed."""
    shape = draw(st.sampled_from(["deep", "wide", "mixed"]))
    size = draw(st.sampled_from([30, 100, 200]))
    dice = random.Random(draw(st.integers(0, 2**32 - 1)))
    return _thread_events(_grown_steps(shape, size, dice, len(scopes)), scopes, first_ticks, True)


@st.composite
def _async_spans(
    draw: st.DrawFn, scopes: list[Scope], first_ticks: int, next_id: Callable[[], int]
) -> tuple[Event, ...]:
    """Tasks that begin and end in any order; a child's parent is any task begun before, ended or not."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["root", "child", "child", "end", "end", "orphan"]),
                st.sampled_from([0, 0, 1, 2, 5, 1000]),
                st.integers(0, len(scopes) - 1),
                st.integers(0, 7),
            ),
            min_size=draw(st.sampled_from([0, 6, 15])),
            max_size=30,
        )
    )
    events: list[Event] = []
    begun: list[Event] = []
    running: list[Event] = []
    ticks = first_ticks
    for kind, pause, code, pick in steps:
        ticks += pause
        if kind == "orphan" and pick == 0:
            events.append(Event(ticks, END, scopes[code], next_id(), 0, 0))
        elif kind == "end" and running:
            ended = running.pop(-1 - pick % len(running))
            events.append(Event(ticks, END, ended.scope, ended.span_id, ended.parent_span_id, ended.depth))
        elif kind in ("root", "child"):
            # The youngest are picked more often: that gives chains, as awaiting does.
            parent = begun[-1 - pick % min(len(begun), 4)] if kind == "child" and begun else None
            begin = Event(
                ticks,
                BEGIN,
                scopes[code],
                next_id(),
                parent.span_id if parent else 0,
                parent.depth + 1 if parent else 0,
            )
            begun.append(begin)
            running.append(begin)
            events.append(begin)
    return tuple(events)


@st.composite
def processes(
    draw: st.DrawFn,
    max_threads: int = 3,
    max_async_streams: int = 2,
    min_streams: int = 0,
    max_moment_streams: int = 0,
    clocks: st.SearchStrategy[int] = CLOCKS,
) -> Process:
    """A process of a few streams, each empty, small or large; ids are new with every draw."""
    scopes = draw(st.lists(SCOPES, min_size=1, max_size=5))
    tsc_frequency = draw(clocks)
    start_ticks = draw(st.sampled_from([0, 10**6, 123_456_789_012]))
    fast = tsc_frequency >= 10**7  # far from the start, ticks times 10**9 no longer fit in 64 bits
    first_ticks = start_ticks + draw(st.sampled_from([0, 1, -1, -333, 10**15 if fast else 1000]))
    span_ids = count(draw(st.sampled_from([1, 1000, 2**40])))
    streams = []
    nb_threads = draw(st.integers(min(min_streams, max_threads), max_threads))
    for index in range(nb_threads):
        events = draw(st.one_of(_step_events(scopes, first_ticks), _grown_events(scopes, first_ticks)))
        streams.append(_stream(False, f"{draw(thread_names)} #{index}", events))
    for index in range(draw(st.integers(0 if nb_threads else min_streams, max_async_streams))):
        events = draw(_async_spans(scopes, first_ticks, lambda: next(span_ids)))
        streams.append(_stream(True, f"async #{index}", events))
    for _ in range(draw(st.integers(0, max_moment_streams))):
        streams.append(draw(_moment_streams(scopes, first_ticks, [s for s in streams if s.tag == "thread"])))
    if draw(st.booleans()):
        dice = random.Random(draw(st.integers(0, 2**32 - 1)))
        streams = [_noted(stream, draw(st.sampled_from([0.05, 0.5])), dice) for stream in streams]
    return Process(str(uuid.uuid4()), tsc_frequency, START_TIME_NS, start_ticks, tuple(streams))


_KEYS = ["sql", "rows", "error", "名", "k" * 255, "level "]
_ATTRIBUTE_VALUES = [
    *("", "SELECT 1", "名前", "x" * 300),
    *(0, 1, -1, 127, 128, 2**63 - 1, -(2**63)),
    *FLOATS,
    *(True, False),
    *(Json("[1, 2]"), Json('{"a": {"b": null}}')),
]


def _noted(stream: StreamT, probability: float, dice: random.Random) -> StreamT:
    """The same stream with attributes at some of its events."""

    def attributes() -> Attributes:
        keys = dice.sample(_KEYS, dice.choice([1, 1, 2, 3, 6]))
        return tuple((key, dice.choice(_ATTRIBUTE_VALUES)) for key in keys)

    events = (
        replace(event, attributes=attributes()) if dice.random() < probability else event for event in stream.events
    )
    return replace(stream, events=tuple(events))


@st.composite
def _moment_streams(draw: st.DrawFn, scopes: list[Scope], first_ticks: int, threads: list[Stream]) -> MomentStream:
    """A log, counters or links, of a thread or of the process."""
    thread = draw(st.none() | st.sampled_from(threads)) if threads else None
    kind = draw(st.sampled_from(["log", "measure", "link"]))
    texts = draw(st.lists(TEXTS, min_size=1, max_size=6))
    values = draw(st.lists(VALUES, min_size=1, max_size=6))
    sources = [*(source.stream_id for source in threads), "a stream of nothing"]
    dice = random.Random(draw(st.integers(0, 2**32 - 1)))
    moments: list[Moment] = []
    ticks = first_ticks
    for _ in range(draw(st.sampled_from([0, 1, 5, 60]))):
        ticks += dice.choice([0, 0, 1, 2, 5, 1000])
        scope = dice.choice(scopes)
        if kind == "log":
            moments.append(LogLine(ticks, scope, dice.choice(list(LEVELS)), dice.choice(texts)))
        elif kind == "link":
            span_id, from_span_id = (dice.choice([0, 0, 1, -(2**63)]) for _ in range(2))
            from_ticks = ticks - dice.choice([0, 0, 1, 7, 1000])
            moments.append(Link(ticks, scope, from_ticks, dice.choice(sources), span_id, from_span_id))
        else:
            moments.append(Value(ticks, scope, dice.choice(["", "B", "名"]), dice.choice(values)))
    return MomentStream(
        str(uuid.uuid4()),
        False,
        thread.thread_name if thread else "",
        thread.thread_id if thread else next(_thread_ids),
        tuple(moments),
        kind,
        thread,
    )


VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0**49 - 1, 2.0**49, 2.0**53, 1e300, 5e-324, math.inf, -math.inf]),
    st.floats(allow_nan=False),
    st.integers(-(2**40), 2**40).map(float),
)

thread_names = st.sampled_from(["main", "worker", "ワーカー", "io thread", "x" * 40])


def _stream(is_async: bool, thread_name: str, events: tuple[Event, ...]) -> Stream:
    return Stream(str(uuid.uuid4()), is_async, thread_name, next(_thread_ids), events)


@dataclass(frozen=True)
class Delivery:
    """How a process's blocks reach the lake: batches in this order, each of blocks in this order."""

    process: Process
    batches: tuple[tuple[Block, ...], ...]
    """Blocks may be in more than one batch, but in none twice."""
    partition_events: int = 1 << 16
    """About how many events the lake shall put into one partition."""
    row_group_rows: int = 1 << 15
    fan_out: int = 8
    """How many segments, or stretches, make a larger stretch."""
    window_events: int = 1 << 20
    """About how many events are in memory at once."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is stored in the end, each block once."""
        return tuple({block.block_id: block for batch in self.batches for block in batch}.values())


@st.composite
def deliveries(draw: st.DrawFn, of: st.SearchStrategy[Process] | None = None) -> Delivery:
    """A process cut into blocks; some are lost, some sent twice, in any order, mixed over the streams."""
    process = draw(of if of is not None else processes())
    dice = random.Random(draw(st.integers(0, 2**32 - 1)))
    mean_block = draw(st.sampled_from([1, 3, 10, 100]))
    blocks: list[Block] = []
    for stream in process.streams:
        size = len(stream.events)
        nb_cuts = min(size // mean_block, 12)
        blocks += cut(stream, dice.sample(range(size), nb_cuts))
    loss = draw(st.sampled_from([0, 0, 0.1, 0.3]))
    blocks = [block for block in blocks if dice.random() >= loss]
    if draw(st.booleans()):
        dice.shuffle(blocks)
    batches: list[tuple[Block, ...]] = []
    while blocks:
        size = dice.randint(1, len(blocks))
        batches.append(tuple(blocks[:size]))
        blocks = blocks[size:]
    sent = [block for batch in batches for block in batch]
    if sent and draw(st.booleans()):
        batches.append(tuple(dice.sample(sent, dice.randint(1, len(sent)))))
    partition_events = draw(st.sampled_from([1, 4, 16, 64, 1 << 16]))
    return Delivery(
        process,
        tuple(batches),
        partition_events,
        draw(st.sampled_from([1, 5, 1 << 15])),
        draw(st.sampled_from([2, 3, 8])),
        draw(st.sampled_from([1, 20, 1 << 20])),
    )


def time_ranges(spans: list[Span]) -> st.SearchStrategy[TimeRange]:
    """A range whose ends lie on, just beside or away from the ends of spans."""
    return times_around([time for span in spans for time in (span.begin_ns, span.end_ns) if time is not None])


@st.composite
def times_around(draw: st.DrawFn, times: Iterable[int]) -> TimeRange:
    """A range whose ends lie on, just beside or away from some times."""
    instants = sorted(set(times))
    anywhere = [START_TIME_NS, START_TIME_NS + 10**6]
    ends = st.builds(lambda a, b: a + b, st.sampled_from(instants + anywhere), st.sampled_from([0, 0, -1, 1, 500]))
    begin_ns, end_ns = sorted((draw(ends), draw(ends)))
    return TimeRange(begin_ns, end_ns)


ALL_TIME = TimeRange(0, 2**63 - 1)


def effort(max_examples: int) -> settings:
    """So many examples of telemetry, over fixtures that all examples share; TEST_EFFORT=10 makes it ten times."""
    return settings(
        max_examples=max_examples * int(os.environ.get("TEST_EFFORT", "1")),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
