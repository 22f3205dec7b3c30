"""`traced`: every run of a function is a span."""

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast, overload

from flightsrv.tracing.async_spans import AsyncSpan
from flightsrv.tracing.recorder import NO_SPAN, Recorder, Span, SpanWithAttributes, active
from flightsrv.tracing.scopes import Scope, sendable

_RECEIVERS = ("self", "cls")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@overload
def traced(function: FunctionT) -> FunctionT: ...
@overload
def traced(*, name: str | None = None, arguments: bool = False) -> Callable[[FunctionT], FunctionT]: ...
def traced(
    function: FunctionT | None = None, *, name: str | None = None, arguments: bool = False
) -> FunctionT | Callable[[FunctionT], FunctionT]:
    """Make spans of the runs of a function, as `@traced` or `@traced(name="...")`; by default of its own name. With
    `arguments` what it is called with is noted, by the names of its parameters, but for `self` and `cls`.

    - A function: one span of the thread for each call.
    - An `async def`: one async span for each call, from its first step to its end.
    - A generator: one span of the thread for each step, from being asked for a value to giving it, because
      between its steps others run on the thread.
    - An `async def` with `yield`: one async span for each step.
    """
    if function is None:
        return functools.partial(_traced, name=name, arguments=arguments)
    return _traced(function, name, arguments)


def _traced(function: FunctionT, name: str | None, arguments: bool) -> FunctionT:
    # Here, because it is large, and programs may well do without it.
    import inspect

    place = _Place(function, name, arguments)
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

    def __init__(self, function: Callable[..., Any], name: str | None, arguments: bool) -> None:
        import inspect

        code = getattr(inspect.unwrap(function), "__code__", None)
        self._parameters = code.co_varnames[: code.co_argcount] if arguments and code else None
        self._scope = Scope(
            sendable(name or getattr(function, "__qualname__", repr(function))),
            sendable(getattr(function, "__module__", "")),
            sendable(code.co_filename) if code else "",
            code.co_firstlineno if code else 0,
        )
        self._known: tuple[Recorder, Span] | None = None

    def span(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractContextManager[object]:
        """The thread's span, of a call with these arguments."""
        recorder = active()
        if recorder is None:
            return NO_SPAN
        span = self._span(recorder)
        return span if self._parameters is None else SpanWithAttributes(span, self._noted(args, kwargs))

    def async_span(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncSpan:
        """A new span of a task, of a call with these arguments."""
        recorder = active()
        if recorder is None:
            return AsyncSpan(None, 0)
        attributes = None if self._parameters is None else self._noted(args, kwargs)
        return AsyncSpan(recorder, self._span(recorder).code, attributes)

    def _noted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        parameters = self._parameters or ()
        attributes = dict(zip(parameters, args, strict=False)) | kwargs
        if parameters and parameters[0] in _RECEIVERS:
            attributes.pop(parameters[0], None)
        if len(args) > len(parameters):
            attributes["args"] = list(args[len(parameters) :])
        return attributes

    def _span(self, recorder: Recorder) -> Span:
        known = self._known
        if known is None or known[0] is not recorder:
            known = self._known = (recorder, recorder.span_of(self._scope))
        return known[1]


def _trace_function(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    def traced_function(*args: Any, **kwargs: Any) -> Any:
        with place.span(args, kwargs):
            return function(*args, **kwargs)

    return traced_function


def _trace_coroutine(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
        async with place.async_span(args, kwargs):
            return await function(*args, **kwargs)

    return traced_coroutine


def _trace_generator(function: Callable[..., Any], place: _Place) -> Callable[..., Any]:
    def traced_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        step, argument = generator.send, None
        while True:
            with place.span(args, kwargs):
                try:
                    value = step(argument)
                except StopIteration as end:
                    return end.value
            try:
                step, argument = generator.send, (yield value)
            except GeneratorExit:
                with place.span(args, kwargs):
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
            async with place.async_span(args, kwargs):
                try:
                    value = await step(argument)
                except StopAsyncIteration:
                    return
            try:
                step, argument = generator.asend, (yield value)
            except GeneratorExit:
                async with place.async_span(args, kwargs):
                    await generator.aclose()
                raise
            except BaseException as error:
                step, argument = generator.athrow, error

    return traced_async_generator
