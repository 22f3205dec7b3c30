"""The decorator: which spans each kind of function gives, and that functions behave as before."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest

from flightsrv import tracing
from tests.tracing.recorded import MemorySink, async_tree, settings, tree


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording with exact ticks sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def recorded(sink: MemorySink) -> str:
    tracing.flush()
    return tree(sink.of_thread("MainThread"))


def recorded_async(sink: MemorySink) -> str:
    tracing.flush()
    return async_tree(sink.of_thread("MainThread", "async"))


@tracing.traced
def factorial(n: int) -> int:
    """n!"""
    return n * factorial(n - 1) if n else 1


@tracing.traced(name="counting")
def countdown(n: int) -> Generator[int, Any, str]:
    while n:
        try:
            n = (yield n) or n - 1
        except KeyError:
            n = 0
    return "over"


@tracing.traced(name="waiting")
async def wait_for(value: int) -> int:
    await asyncio.sleep(0)
    return value


@tracing.traced
async def wait_for_many(n: int) -> AsyncGenerator[int, None]:
    for i in range(n):
        yield await wait_for(i)


def test_a_function_gives_a_span_for_each_call(sink: MemorySink) -> None:
    """Named by qualified name, at the line where the definition begins; results pass through."""
    assert factorial(2) == 2
    assert recorded(sink) == "factorial\n  factorial\n    factorial"
    scope = sink.of_thread("MainThread")[0].scope
    assert scope["target"] == __name__
    assert scope["filename"] == __file__
    assert scope["line"] == inspect.getsourcelines(factorial)[1]


def test_wrapping_keeps_what_a_function_says_of_itself() -> None:
    """Name, documentation and kind are those of the function."""
    assert (factorial.__name__, factorial.__doc__) == ("factorial", "n!")
    assert inspect.iscoroutinefunction(wait_for)
    assert inspect.isgeneratorfunction(countdown)
    assert inspect.isasyncgenfunction(wait_for_many)


def test_methods_classes_and_builtins_can_be_traced(sink: MemorySink) -> None:
    """Whatever can be called."""

    class Parser:
        @tracing.traced
        def parse(self, text: str) -> int:
            return len(text)

        @staticmethod
        @tracing.traced(name="static")
        def count() -> int:
            return 1

    assert Parser().parse("abc") == 3
    assert Parser.count() == 1
    assert tracing.traced(len)([1, 2]) == 2
    assert recorded(sink).splitlines() == [Parser.parse.__qualname__, "static", "len"]


def test_a_generator_gives_a_span_for_each_step(sink: MemorySink) -> None:
    """What others do between the steps is not within them; values, sent values and the result pass through."""
    steps = countdown(3)
    with tracing.span("consumer"):
        assert next(steps) == 3
    with tracing.span("other"):
        assert steps.send(2) == 2
    assert next(steps) == 1
    with pytest.raises(StopIteration, match="over"):
        next(steps)
    assert recorded(sink) == "consumer\n  counting\nother\n  counting\ncounting\ncounting"


def test_exceptions_thrown_into_a_generator_reach_it(sink: MemorySink) -> None:
    """`throw` and `close` behave as without the decorator."""
    steps = countdown(3)
    next(steps)
    with pytest.raises(StopIteration, match="over"):
        steps.throw(KeyError())
    unfinished = countdown(3)
    next(unfinished)
    with pytest.raises(ZeroDivisionError):
        unfinished.throw(ZeroDivisionError())
    closed = countdown(3)
    next(closed)
    closed.close()
    assert recorded(sink).splitlines() == ["counting"] * 6


def test_a_coroutine_gives_an_async_span(sink: MemorySink) -> None:
    """From its first step to its end, beside others."""

    async def main() -> list[int]:
        async with tracing.async_span("main"):
            return await asyncio.gather(wait_for(1), wait_for(2))

    assert asyncio.run(main()) == [1, 2]
    assert recorded_async(sink) == "main\n  waiting\n  waiting"


def test_an_async_generator_gives_an_async_span_for_each_step(sink: MemorySink) -> None:
    """The last step is the one that finds no further value."""

    async def main() -> list[int]:
        return [value async for value in wait_for_many(2)]

    assert asyncio.run(main()) == [0, 1]
    assert recorded_async(sink) == "wait_for_many\n  waiting\nwait_for_many\n  waiting\nwait_for_many"


def test_a_function_that_fails_ends_its_span(sink: MemorySink) -> None:
    """The exception is the function's own."""

    @tracing.traced(name="failing")
    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    with tracing.span("next"):
        pass
    assert recorded(sink) == "failing\nnext"


def test_a_decorated_function_serves_one_recording_after_the_other(sink: MemorySink) -> None:
    """Functions are decorated once, before any recording starts."""
    factorial(0)
    tracing.stop()
    factorial(0)
    later = MemorySink()
    with tracing.start(sink=lambda: later, settings=settings()):
        factorial(1)
    assert tree(sink.of_thread("MainThread")) == "factorial"
    assert tree(later.of_thread("MainThread")) == "factorial\n  factorial"
