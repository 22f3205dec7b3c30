"""`traced`: every run of a function is a span."""

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast, overload

from flightsrv.tracing.async_spans import AsyncSpan
from flightsrv.tracing.recorder import NO_SPAN, Recorder, Span, active
from flightsrv.tracing.scopes import Scope, sendable

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@overload
def traced(function: FunctionT) -> FunctionT: ...
@overload
def traced(*, name: str | None = None) -> Callable[[FunctionT], FunctionT]: ...
def traced(
    function: FunctionT | None = None, *, name: str | None = None
) -> FunctionT | Callable[[FunctionT], FunctionT]:
    """Make spans of the runs of a function, as `@traced` or `@traced(name="...")`; by default of its own name.

    - A function: one span of the thread for each call.
    - An `async def`: one async span for each call, from its first step to its end.
    - A generator: one span of the thread for each step, from being asked for a value to giving it, because
      between its steps others run on the thread.
    - An `async def` with `yield`: one async span for each step.
    """
    if function is None:
        return functools.partial(_traced, name=name)
    return _traced(function, name)


def _traced(function: FunctionT, name: str | None) -> FunctionT:
    # Here, because it is large, and programs may well do without it.
    import inspect

    place = _Place(function, name)
    if inspect.isasyncgenfunction(function):
        wrapper = _trace_async_generator(function, place)
    elif inspect.iscoroutinefunction(function):
        wrapper = _trace_coroutine(function, place)
    elif inspect.isgeneratorfunction(function):
        wrapper = _trace_generator(function, place)
    else:
        wrapper = _trace_function(function, place)
    return cast(FunctionT, functools.wraps(function)(wrapper))


class _Place:
    """A function's place in the source, and its span with the recorder that was asked last."""

    def __init__(self, function: Callable[..., Any], name: str | None) -> None:
        import inspect

        code = getattr(inspect.unwrap(function), "__code__", None)
        self._scope = Scope(
            sendable(name or getattr(function, "__qualname__", repr(function))),
            sendable(getattr(function, "__module__", "")),
            sendable(code.co_filename) if code else "",
            code.co_firstlineno if code else 0,
        )
        self._known: tuple[Recorder, Span] | None = None

    def span(self) -> AbstractContextManager[None]:
        """The thread's span."""
        recorder = active()
        return NO_SPAN if recorder is None else self._span(recorder)

    def async_span(self) -> AsyncSpan:
        """A new span of a task."""
        recorder = active()
        return AsyncSpan(recorder, 0 if recorder is None else self._span(recorder).code)

    def _span(self, recorder: Recorder) -> Span:
        known = self._known
        if known is None or known[0] is not recorder:
            known = self._known = (recorder, recorder.span_of(self._scope))
        return known[1]


def _trace_function(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    def traced_function(*args: Any, **kwargs: Any) -> Any:
        with place.span():
            return function(*args, **kwargs)

    return traced_function


def _trace_coroutine(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
        span = place.async_span()
        span.begin()
        try:
            return await function(*args, **kwargs)
        finally:
            span.end()

    return traced_coroutine


def _trace_generator(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    def traced_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        step, argument = generator.send, None
        while True:
            with place.span():
                try:
                    value = step(argument)
                except StopIteration as end:
                    return end.value
            try:
                step, argument = generator.send, (yield value)
            except GeneratorExit:
                with place.span():
                    generator.close()
                raise
            except BaseException as error:
                step, argument = generator.throw, error

    return traced_generator


def _trace_async_generator(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    async def traced_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        step, argument = generator.asend, None
        while True:
            async with place.async_span():
                try:
                    value = await step(argument)
                except StopAsyncIteration:
                    return
            try:
                step, argument = generator.asend, (yield value)
            except GeneratorExit:
                async with place.async_span():
                    await generator.aclose()
                raise
            except BaseException as error:
                step, argument = generator.athrow, error

    return traced_async_generator
