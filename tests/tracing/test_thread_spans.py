"""Spans of threads: what the host's `with` statements become, whatever the host does."""

import asyncio
import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flightsrv import tracing
from flightsrv.tracing import buffers
from flightsrv.tracing.scopes import MAX_SCOPES
from tests.tracing.recorded import GatedSink, MemorySink, settings, tree

UNDISTURBED = tracing.Settings(send_every_s=0.05, capacity_spans=10**7, stop_timeout_s=60.0, vitals_every_s=None)
"""Nothing runs by itself in the thread that records, where an exception would be lost."""


class InterruptError(Exception):
    """Raised by `interrupt`, in whatever line `record_until_interrupted` is."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal handler. A signal that arrives outside `record_until_interrupted` raises nothing."""
    while frame is not None:
        if frame.f_code is record_until_interrupted.__code__:
            raise InterruptError
        frame = frame.f_back


def record_until_interrupted() -> None:
    """Two nested spans, again and again."""
    while True:
        with tracing.span("a"), tracing.span("b"):
            pass


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording with exact ticks sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def recorded_tree(sink: MemorySink, thread_name: str = "MainThread", with_ticks: bool = False) -> str:
    tracing.flush()
    return tree(sink.of_thread(thread_name), with_ticks)


def run_in_thread(function: Callable[[], object], name: str) -> None:
    thread = threading.Thread(target=function, name=name)
    thread.start()
    thread.join()


def test_nested_spans_have_exact_begins_and_ends(sink: MemorySink) -> None:
    """Every begin and every end is one reading of the clock, in the order of the program."""
    with tracing.span("request"):
        with tracing.span("parse"):
            pass
        for _ in range(2):
            with tracing.span("compress"), tracing.span("hash"):
                pass
    with tracing.span("reply"):
        pass
    assert recorded_tree(sink, with_ticks=True) == (
        "request 2-13\n  parse 3-4\n  compress 5-8\n    hash 6-7\n  compress 9-12\n    hash 10-11\nreply 14-15"
    )


def test_a_span_knows_its_place_in_the_source(sink: MemorySink) -> None:
    """Name, module, file and line are those of the `with` statement, also for two of the same name."""

    def first() -> int:
        with tracing.span("work"):
            return first.__code__.co_firstlineno + 1

    def second() -> int:
        with tracing.span("work"):
            return second.__code__.co_firstlineno + 1

    lines = [first(), second(), first()]
    tracing.flush()
    begins = [event.scope for event in sink.of_thread("MainThread") if event.is_begin]
    assert [scope["line"] for scope in begins] == lines
    assert {(scope["name"], scope["target"], scope["filename"]) for scope in begins} == {("work", __name__, __file__)}


def test_names_made_at_run_time_are_told_apart(sink: MemorySink) -> None:
    """One place may record under many names."""
    for i in range(3):
        with tracing.span(f"item {i}"):
            pass
    assert recorded_tree(sink) == "item 0\nitem 1\nitem 2"


def test_more_names_than_are_kept_apart_share_one(sink: MemorySink) -> None:
    """A program that makes up names without end cannot fill the memory with them."""
    recorder = tracing.start(sink=lambda: sink).recorder
    for i in range(MAX_SCOPES + 10):
        recorder.scopes.code_of((f"name {i}", "", "", 0))  # type: ignore[arg-type]
    with tracing.span("one too many"):
        pass
    assert len(recorder.scopes) == MAX_SCOPES
    assert recorded_tree(sink) == "(more names than tracing keeps apart)"


def test_names_that_are_no_text_are_recorded_as_text(sink: MemorySink) -> None:
    """Whatever is given as a name, the host goes on."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    for name in ("日本語 😀", "\ud800", 7, ["a", "list"], None, Mute()):
        with tracing.span(name):  # type: ignore[arg-type]
            pass
    assert recorded_tree(sink) == "日本語 😀\n?\n7\n['a', 'list']\nNone\n(Mute that has no text)"


def test_exceptions_end_spans_and_pass_through(sink: MemorySink) -> None:
    """A span never swallows the exception that leaves it."""
    with pytest.raises(KeyError), tracing.span("outer"), tracing.span("inner"):
        raise KeyError
    assert recorded_tree(sink, with_ticks=True) == "outer 2-5\n  inner 3-4"


def test_a_span_object_may_be_shared_and_entered_again(sink: MemorySink) -> None:
    """One object serves a recursion, and several threads at once."""
    span = tracing.span("shared")

    def recurse(depth: int) -> None:
        with span:
            if depth:
                barrier.wait()
                recurse(depth - 1)

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=recurse, args=(3,), name=f"worker {i}") for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert recorded_tree(sink, f"worker {i}") == "shared\n  shared\n    shared\n      shared"


def test_spans_without_a_recording_do_nothing() -> None:
    """A library may be instrumented in a program that never starts a recording."""
    with tracing.span("nobody listens"):
        pass
    assert not tracing.statistics().is_recording


def test_spans_across_start_and_stop_leave_no_half(sink: MemorySink) -> None:
    """What was entered before the start is not recorded; what is left after the stop stays unfinished."""
    tracing.stop()
    stack = ExitStack()
    stack.enter_context(tracing.span("before"))
    other = MemorySink()
    tracing.start(sink=lambda: other, settings=settings())
    stack.enter_context(tracing.span("during"))
    tracing.stop()
    stack.close()
    assert tree(other.of_thread("MainThread"), with_ticks=True) == "during 2-..."


def test_open_spans_are_sent_and_their_ends_follow(sink: MemorySink) -> None:
    """A long span shows as soon as it has begun; the sink checks that blocks leave no gap."""
    with tracing.span("long"):
        assert recorded_tree(sink, with_ticks=True) == "long 2-..."
    assert recorded_tree(sink, with_ticks=True) == "long 2-3"
    assert sink.calls.count("blocks") == 2


def test_every_thread_has_its_stream(sink: MemorySink) -> None:
    """Streams carry the thread's name and the operating system's id for it."""
    native_ids = {}

    def work() -> None:
        native_ids[threading.current_thread().name] = str(threading.get_native_id())
        with tracing.span("work"):
            pass

    for i in range(3):
        run_in_thread(work, f"worker {i}")
    tracing.flush()
    rows = sink.streams.values()
    assert all(row["tags"] == ["thread"] and row["format"] == "arrow-v1" for row in rows)
    assert {row["properties"]["thread-name"]: row["properties"]["thread-id"] for row in rows} == native_ids  # type: ignore[index]


def test_a_renamed_thread_is_known_by_its_new_name(sink: MemorySink) -> None:
    """The row of the stream is sent again when the name changes."""

    def work() -> None:
        with tracing.span("before"):
            tracing.flush()
        assert recorded_tree(sink, "young") == "before"
        threading.current_thread().name = "old"
        with tracing.span("after"):
            pass

    run_in_thread(work, "young")
    assert recorded_tree(sink, "old") == "before\nafter"


def test_a_full_buffer_drops_whole_spans_and_counts_them() -> None:
    """Without the sender, the first spans stay, what comes later is missing with both its ends, and is counted."""
    sink = GatedSink()
    sink.gate.clear()
    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=4)) as session:
        assert not session.flush(timeout_s=0.01)
        sink.was_called.wait()
        with tracing.span("outer"):
            for i in range(20):
                with tracing.span(f"kept or dropped {i}"), tracing.span("inner"):
                    pass
        sink.gate.set()
        session.flush()
        with tracing.span("afterwards"):
            pass
        session.flush()
        text = tree(sink.of_thread("MainThread"))
        recorded = len(text.splitlines()) - 1
        assert text.startswith("outer\n  kept or dropped 0\n    inner\n")
        assert text.endswith("afterwards")
        assert session.statistics().dropped_spans == 41 - recorded > 0
        (stream,) = sink.streams.values()
        assert stream["properties"]["dropped-spans"] == str(41 - recorded)  # type: ignore[index]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_burst_borrows_room_and_gives_it_back(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is there for whoever needs it, again and again; only what finds no room there is dropped."""
    monkeypatch.setattr(buffers, "LOAN_SPANS", 50)

    async def burst(spans: int) -> None:
        for _ in range(spans):
            if is_async:
                async with tracing.async_span("work"):
                    pass
            else:
                with tracing.span("work"):
                    pass

    sink = GatedSink()
    sink.gate.clear()
    limits = settings(capacity_spans=10)._replace(reserve_spans=100)
    with tracing.start(sink=lambda: sink, settings=limits) as session:
        assert not session.flush(timeout_s=0.01)
        sink.was_called.wait()
        asyncio.run(burst(110))
        assert session.statistics().dropped_spans == 0
        asyncio.run(burst(7))
        assert session.statistics().dropped_spans == 7
        sink.gate.set()
        for _ in range(3):
            assert session.flush()
            asyncio.run(burst(100))
        assert session.flush()
        assert session.statistics().dropped_spans == 7
    (events,) = sink.events.values()
    assert len(events) == 2 * (110 + 3 * 100)


def test_a_span_left_in_the_wrong_order_ends_those_within_it(sink: MemorySink) -> None:
    """Spans of a thread are a stack: leaving the outer one first ends both, and the late end is left out."""
    outer, inner = tracing.span("outer"), tracing.span("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    with tracing.span("next"):
        pass
    assert recorded_tree(sink) == "outer\n  inner\nnext"
    assert tracing.statistics().misplaced_ends == 2


def test_a_span_left_on_another_thread_corrupts_neither(sink: MemorySink) -> None:
    """The end is left out on the thread where nothing began; the begin is closed by the span around it."""
    stray = tracing.span("stray")
    with tracing.span("main"):
        stray.__enter__()

        def work() -> None:
            with tracing.span("work"):
                stray.__exit__(None, None, None)

        run_in_thread(work, "other")
    assert recorded_tree(sink) == "main\n  stray"
    started, within = recorded_tree(sink, "other").splitlines()
    assert started.endswith("<locals>.work")
    assert within == "  work"


@pytest.fixture
def interrupted() -> Iterator[None]:
    """`interrupt` handles SIGALRM. No callback of the garbage collector, which would lose its exceptions, runs."""
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_exceptions_of_signal_handlers_never_unbalance(interrupted: None) -> None:
    """Interrupted anywhere, also within the recording itself, begins and ends still match."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=UNDISTURBED):
        with tracing.span("all"):
            for i in range(300):
                # Again and again: the first signal may come before the recording begins.
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + i * 1e-6, 0.01)
                with suppress(InterruptError):
                    record_until_interrupted()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        with tracing.span("end"):
            pass
    text = tree(sink.of_thread("MainThread"))
    assert text.startswith("all\n  a\n    b")
    assert text.endswith("\nend")


def test_interrupted_spans_leave_none_open_below_which_others_would_nest(interrupted: None) -> None:
    """Without a span around them that would end them, in whatever step they are interrupted."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=UNDISTURBED) as session:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
        for _ in range(2000):
            with suppress(InterruptError):
                record_until_interrupted()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        assert session.recorder.threads.spans.open_codes == [buffers.NOTHING_OPEN]
        assert session.statistics().misplaced_ends == 0
    depth = deepest = 0
    for event in sink.of_thread("MainThread"):
        depth += 1 if event.is_begin else -1
        deepest = max(deepest, depth)
    assert (depth, deepest) == (0, 2)


def test_thousands_of_short_threads_leave_nothing_behind(sink: MemorySink) -> None:
    """Threads that are over are sent to their last event and forgotten."""
    session = tracing.start(sink=lambda: sink, settings=tracing.Settings(vitals_every_s=None))
    threads = []
    for batch in range(20):
        for i in range(100):
            thread = threading.Thread(target=short_work, name=f"short {batch * 100 + i}")
            thread.start()
            threads.append(weakref.ref(thread))
            thread.join()
        del thread
        session.flush()
    session.flush()
    gc.collect()
    assert len(sink.streams) == 2000
    assert all(tree(events) == "work\n  part" for events in sink.events.values())
    assert {buffer.thread for buffer in session.recorder.buffers} == {threading.main_thread()}
    assert [thread for thread in threads if thread() is not None] == []


def short_work() -> None:
    with tracing.span("work"), tracing.span("part"):
        pass


Program = list["Program"]
"""A span's children."""

programs = st.recursive(st.just([]), lambda children: st.lists(children, max_size=4), max_leaves=30)


def expected_tree(program: Program, depth: int) -> Iterator[str]:
    for i, children in enumerate(program):
        yield "  " * depth + f"span {i}"
        yield from expected_tree(children, depth + 1)


def run(program: Program, flush_at: set[int], position: Iterator[int]) -> None:
    for i, children in enumerate(program):
        with tracing.span(f"span {i}"):
            if next(position) in flush_at:
                tracing.flush()
            run(children, flush_at, position)


@hypothesis_settings(max_examples=40)
@given(st.lists(programs, min_size=1, max_size=5), st.sets(st.integers(0, 30)))
def test_random_programs_on_several_threads_are_recorded_as_they_ran(
    thread_programs: list[Program], flush_at: set[int]
) -> None:
    """However deep or wide, and whenever the sender comes by, each thread's tree is its program."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=10_000)):
        threads = [
            threading.Thread(target=run, args=(program, flush_at, iter(range(1000))), name=f"thread {i}")
            for i, program in enumerate(thread_programs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i, program in enumerate(thread_programs):
        if program:
            assert tree(sink.of_thread(f"thread {i}")) == "\n".join(expected_tree(program, 0))


@hypothesis_settings(max_examples=15)
@given(programs, st.integers(1, 5))
def test_random_programs_in_tiny_buffers_keep_their_parentheses(program: Program, capacity: int) -> None:
    """What is recorded and what is dropped add up to the program, and what is recorded is well nested."""
    sink = GatedSink()
    sink.gate.clear()
    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=capacity)) as session:
        session.flush(timeout_s=0.0)
        run(program, set(), iter(range(1000)))
        sink.gate.set()
        session.flush()
        recorded = sum(len(tree(events).splitlines()) for events in sink.events.values())
        assert recorded + session.statistics().dropped_spans == len(list(expected_tree(program, 0)))


def test_recording_while_the_sender_takes_loses_nothing() -> None:
    """A sender that comes by all the time, in the middle of everything, takes each event once."""
    sink = MemorySink()
    session = tracing.start(sink=lambda: sink, settings=tracing.Settings(send_every_s=0.0001, stop_timeout_s=60.0))
    session.flush()
    spans = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        with tracing.span("a"), tracing.span("b"):
            spans += 2
    dropped = session.statistics().dropped_spans
    session.stop()
    assert len(tree(sink.of_thread("MainThread")).splitlines()) + dropped == spans
