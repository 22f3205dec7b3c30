"""Automatic tracing of chosen modules, by whatever means this Python has for it."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from flightsrv import tracing
from tests.tracing.recorded import MemorySink, settings, tree

SOURCE = """
def outer(n):
    inner()
    for _ in range(n):
        inner()

def inner():
    return len("abc")

def fail():
    inner()
    raise KeyError

def survive():
    try:
        fail()
    except KeyError:
        pass
    inner()

def numbers(n):
    for i in range(n):
        try:
            yield i
        finally:
            len("xyz")
        inner()

def consume(numbers):
    return sum(numbers)

class Parser:
    def parse(self):
        inner()

async def wait(event):
    inner()
    await event.wait()
    inner()

def call(function):
    function()
"""


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording with exact ticks sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def module(name: str) -> ModuleType:
    """A module of the source above."""
    made = ModuleType(name)
    exec(compile(SOURCE, f"{name}.py", "exec"), made.__dict__)
    return made


def recorded(sink: MemorySink, thread_name: str = "MainThread") -> str:
    tracing.flush()
    return tree(sink.of_thread(thread_name))


APP = module("app.core")
OTHER = module("other")


def test_calls_in_chosen_modules_are_spans(sink: MemorySink) -> None:
    """Functions of other modules, built in ones and this test leave no trace."""
    with tracing.trace_modules("app.*"):
        APP.outer(0)
        OTHER.outer(1)
        APP.Parser().parse()
        OTHER.call(APP.inner)
    APP.inner()
    assert recorded(sink) == "outer\n  inner\nParser.parse\n  inner\ninner"
    scope = sink.of_thread("MainThread")[0].scope
    assert scope == {"name": "outer", "target": "app.core", "filename": "app.core.py", "line": 2}


def test_exceptions_end_the_spans_they_leave(sink: MemorySink) -> None:
    """The function that catches goes on as the innermost."""
    with tracing.trace_modules("app.*"):
        APP.survive()
        with pytest.raises(KeyError):
            APP.fail()
        APP.inner()
    assert recorded(sink) == "survive\n  fail\n    inner\n  inner\nfail\n  inner\ninner"


def test_each_step_of_a_generator_is_a_span(sink: MemorySink) -> None:
    """It is within whoever asked for the value, whether its values run out, it is closed, or it fails."""
    with tracing.trace_modules("app.*"):
        assert APP.consume(APP.numbers(1)) == 0
        closed = APP.numbers(2)
        next(closed)
        closed.close()
        failing = APP.numbers(2)
        next(failing)
        with pytest.raises(KeyError):
            failing.throw(KeyError())
        APP.inner()
    assert recorded(sink) == ("consume\n  numbers\n  numbers\n    inner\nnumbers\nnumbers\nnumbers\nnumbers\ninner")


def test_each_step_of_a_coroutine_is_a_span(sink: MemorySink) -> None:
    """What runs while it waits is not within it; cancelled ones end too."""

    async def main() -> None:
        event = asyncio.Event()
        task = asyncio.create_task(APP.wait(event))
        cancelled = asyncio.create_task(APP.wait(asyncio.Event()))
        await asyncio.sleep(0)
        APP.inner()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        event.set()
        await task

    with tracing.trace_modules("app.*"):
        asyncio.run(main())
    assert recorded(sink) == "wait\n  inner\nwait\n  inner\ninner\nwait\nwait\n  inner"


def test_threads_that_start_later_are_traced(sink: MemorySink) -> None:
    """And no more when tracing was stopped, although they go on."""
    is_stopped, may_stop = threading.Event(), threading.Event()

    def work() -> None:
        APP.outer(0)
        may_stop.set()
        is_stopped.wait()
        APP.outer(0)

    with tracing.trace_modules("app.*"):
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        may_stop.wait()
    is_stopped.set()
    thread.join()
    assert recorded(sink, "worker") == "outer\n  inner"


def test_spans_of_both_kinds_nest(sink: MemorySink) -> None:
    """Explicit spans and traced functions share the stack of the thread."""
    with tracing.trace_modules("app.*"), tracing.span("explicit"):
        APP.outer(0)
    assert recorded(sink) == "explicit\n  outer\n    inner"


def test_module_tracing_may_begin_and_end_anywhere(sink: MemorySink) -> None:
    """Functions that were running when it began are not recorded; those running at its end stay unfinished."""
    handles = []
    APP.call(lambda: handles.append(tracing.trace_modules("app.*")))
    APP.call(lambda: handles[0].stop())
    handles[0].stop()
    tracing.flush()
    assert tree(sink.of_thread("MainThread"), with_ticks=True) == "call 2-..."


def test_one_recording_after_the_other_is_traced(sink: MemorySink) -> None:
    """Module tracing may begin before a recording and outlive it."""
    tracing.stop()
    later = MemorySink()
    with tracing.trace_modules("app.*"):
        APP.outer(0)
        with tracing.start(sink=lambda: later, settings=settings()):
            APP.outer(0)
        APP.outer(0)
    assert tree(later.of_thread("MainThread")) == "outer\n  inner"


def test_another_choice_of_modules_sees_what_the_first_did_not(sink: MemorySink) -> None:
    """What one choice has left out is not lost for the next."""
    with tracing.trace_modules("app.*"):
        OTHER.outer(0)
    with tracing.trace_modules("other"):
        OTHER.outer(0)
    assert recorded(sink) == "outer\n  inner"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is room for several profilers from Python 3.12 on")
def test_another_profiler_is_left_in_peace(sink: MemorySink) -> None:
    """Nothing is traced, and the profiler that is there goes on."""
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        with tracing.trace_modules("app.*"):
            APP.outer(0)
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)
    tracing.flush()
    assert calls
    assert not sink.streams


def test_tracing_everything_ends(sink: MemorySink) -> None:
    """The library does not trace itself, or the sender would never come to an end."""
    with tracing.trace_modules("*"):
        with tracing.span("explicit"):
            APP.outer(0)
        assert tracing.flush()
        assert tracing.flush()
    names = {event.name for events in sink.events.values() for event in events}
    assert {"explicit", "outer", "inner"} <= names
    targets = {
        str(event.scope["target"]) for events in sink.events.values() for event in events if event.name != "explicit"
    }
    assert not [target for target in targets if target.startswith("flightsrv.tracing")]
