"""Links: what a span causes in another thread or task, as work that it hands over.

While something is recorded, the work that a span gives to a `ThreadPoolExecutor`, or to a thread that it starts, runs
in a span of its own, named after the function, and linked to the one that it comes from. So does what
`asyncio.to_thread`, `run_in_executor` and `anyio.to_thread.run_sync` are given. Tasks need none of this: async spans
know their parents.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import Context
from functools import partial, wraps
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from flightsrv.tracing.async_spans import current_span, is_of_this_thread
from flightsrv.tracing.buffers import ThreadBuffer, code_of
from flightsrv.tracing.late_imports import AfterImport
from flightsrv.tracing.recorder import Recorder, Span, active
from flightsrv.tracing.scopes import MAX_SCOPES, Scope, calling_scope, sendable
from flightsrv.tracing.trace_context import TraceContext, current, entered

_ANYIO = "anyio._backends._asyncio"
_POOLS = {"concurrent.futures.thread", "multiprocessing.pool", "trio._core._thread_cache", _ANYIO}
"""Modules of threads that serve many callers, and are started by the first of them."""

_ASGIREF = "asgiref.sync"
"""Module of the objects that run functions in threads for Django."""

_MAX_LAYERS = 10
"""Of partial applications that are looked into."""


class Origin:
    """A moment in a span, to which something can be linked that happens elsewhere, later."""

    __slots__ = ("_first_span_id", "_recorder", "context", "span_id", "stream_id", "ticks")

    def __init__(self, recorder: Recorder, stream_id: str, span_id: int) -> None:
        self._recorder = recorder
        self._first_span_id = recorder.first_span_id
        self.stream_id = stream_id
        self.span_id = span_id
        """Of the async span, or 0."""
        self.context: TraceContext | None = current()
        """Of the request that it is part of."""
        self.ticks = recorder.now()

    def is_of(self, recorder: Recorder | None) -> bool:
        """Whether it belongs to a recording, in this process rather than in one that it was forked from."""
        return self._recorder is recorder and self._first_span_id == self._recorder.first_span_id


def origin() -> Origin | None:
    """Where the caller is now, for `link` in the thread or task that goes on with its work; None if no span is open."""
    recorder = active()
    if recorder is None:
        return None
    thread, task = recorder.threads.spans, current_span(recorder)
    if (task is None and code_of(thread.open_codes[-1]) <= 0) or not isinstance(thread, ThreadBuffer):
        return None
    thread.is_referred_to = True
    return Origin(recorder, thread.stream_id, 0 if task is None else task.span_id)


def link(origin: Origin | None) -> AbstractContextManager[None]:
    """The innermost span that is open here was caused by what called `origin()` somewhere else:

        queue.put((origin(), job))              # there
        origin, job = queue.get()               # here
        with span("work"), link(origin):
            ...

    In a task that is its async span. It is part of the request that the origin is part of, if that is one of several
    processes: it gets the attribute `trace_id`, and in a `with` statement, as here, requests that go out meanwhile get
    the header `traceparent`. Without an origin, or without an open span, nothing is recorded.
    """
    recorder = active()
    context = None if origin is None else origin.context
    if origin is not None and recorder is not None and origin.is_of(recorder):
        task, thread = current_span(recorder), recorder.threads.spans
        attributes = {} if context is None else {"trace_id": context.trace_id}
        if task is not None and is_of_this_thread(task):
            _add(recorder, recorder.scopes.code_of(calling_scope(2)), origin, task.span_id)
            task.set(**attributes)
        elif code_of(thread.open_codes[-1]) > 0:
            _add(recorder, recorder.scopes.code_of(calling_scope(2)), origin)
            if attributes:
                thread.set_attributes(None, attributes)
    return entered(context)


def _add(recorder: Recorder, code: int, origin: Origin, span_id: int = 0) -> None:
    recorder.threads.links.add_link(code, origin.ticks, origin.stream_id, span_id, origin.span_id)


class _Work:
    """A function that runs in a span of its own, linked to an origin."""

    __slots__ = ("_function", "_origin", "_place")

    def __init__(self, function: Callable[..., Any], origin: Origin, place: object) -> None:
        self._function = function
        self._origin = origin
        self._place = place
        """What the span is named after."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None or not self._origin.is_of(recorder):
            return self._function(*args, **kwargs)
        span = _span_of(recorder, self._place)
        with span:
            _add(recorder, span.code, self._origin)
            context = self._origin.context
            if context is None:
                return self._function(*args, **kwargs)
            span.set(trace_id=context.trace_id)
            with entered(context):
                return self._function(*args, **kwargs)


class _Run:
    """Stands in for the method `run` of a thread, until it is called."""

    __slots__ = ("_had", "_thread", "work")

    def __init__(self, thread: threading.Thread, origin: Origin, place: object) -> None:
        self._had = vars(thread).get("run")
        self._thread: threading.Thread | None = thread
        self.work = _Work(thread.run, origin, place)
        vars(thread)["run"] = self

    def take_back(self) -> None:
        """Leave the thread as it was."""
        thread, self._thread = self._thread, None
        if thread is not None and vars(thread).get("run") is self:
            if self._had is None:
                del vars(thread)["run"]
            else:
                vars(thread)["run"] = self._had

    def __call__(self) -> None:
        self.take_back()
        self.work()


def _linked(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    """Work for a pool, linked to the span that hands it over, if there is one."""
    if type(function) is _Work:
        return function
    here = origin()
    return function if here is None else _Work(function, here, _function_in(function, args))


def _linked_run(thread: threading.Thread) -> _Run | None:
    """The same for a thread that is about to be started."""
    here = origin()
    if here is None or type(vars(thread).get("run")) is _Run:
        return None
    target = vars(thread).get("_target")
    function = type(thread).run if target is None else _function_in(target, vars(thread).get("_args") or ())
    plain = function.__func__ if type(function) is MethodType else function
    if type(plain) is FunctionType and plain.__module__ in _POOLS:
        return None
    return _Run(thread, here, function)


def _function_in(function: Any, args: tuple[Any, ...]) -> Any:
    """The function that a partial application runs in the end, or a copied context with it, as `asyncio.to_thread` has
    it, or `sync_to_async` of Django; else the function itself."""
    for _ in range(_MAX_LAYERS):
        if type(function) is partial:
            function, args = function.func, (*function.args, *args)
        elif type(function) is BuiltinMethodType and type(function.__self__) is Context and args:
            function, args = args[0], args[1:]
        elif type(function) is MethodType and type(function.__self__).__module__ == _ASGIREF:
            function = function.__self__.func  # type: ignore[attr-defined]
        else:
            break
    return function


def _span_of(recorder: Recorder, function: Any) -> Span:
    """The span of the runs of a function, or of any other object that is called."""
    try:
        if type(function) is MethodType:
            function = function.__func__
        code = function.__code__ if type(function) is FunctionType else None
        known = recorder.by_code.get(id(code))
        if known is not None and known[0] is code:
            return known[1]
        span = recorder.span_of(_scope_of(function, code))
        if code is not None:
            if len(recorder.by_code) >= MAX_SCOPES:
                recorder.by_code.clear()
            recorder.by_code[id(code)] = (code, span)
    except Exception:
        return recorder.span_of(Scope("(work)", "", "", 0))
    return span


def _scope_of(function: Any, code: CodeType | None) -> Scope:
    # Of other objects nothing is asked: they may answer anything.
    known = function if isinstance(function, FunctionType | BuiltinMethodType | type) else type(function)
    filename, line = (code.co_filename, code.co_firstlineno) if code else ("", 0)
    return Scope(sendable(known.__qualname__), sendable(known.__module__ or ""), sendable(filename), line)


class _Hook:
    """A method that is replaced while something is recorded. Where another library has replaced ours since, ours stays
    below, and does nothing but pass on."""

    def __init__(self, owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._owner, self._name = owner, name
        self._original = found = vars(owner)[name]
        self._own: Any = (
            classmethod(wraps(found.__func__)(make(found.__func__)))
            if isinstance(found, classmethod)
            else wraps(found)(make(found))
        )
        setattr(owner, name, self._own)

    def remove(self) -> None:
        if vars(self._owner).get(self._name) is self._own:
            setattr(self._owner, self._name, self._original)


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            fn = _linked(fn, args)
        return original(self, fn, *args, **kwargs)

    return submit


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: threading.Thread) -> None:
        try:
            run = _linked_run(self)
        except Exception:
            run = None
        try:
            original(self)
        except BaseException:
            if run is not None:
                run.take_back()
            raise

    return start


def _calling_in_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_sync_in_worker_thread(cls: type, func: Any, args: tuple[Any, ...], *more: Any, **options: Any) -> Any:
        with suppress(Exception):
            func = _linked(func, args)
        return original(cls, func, args, *more, **options)

    return run_sync_in_worker_thread


def _hook_anyio(module: ModuleType) -> None:
    _hooks.append(_Hook(module.AsyncIOBackend, "run_sync_in_worker_thread", _calling_in_thread))


_hooks: list[_Hook] = []
_awaited: list[AfterImport] = []


def install() -> None:
    """Link what is handed over, from now on. For one caller at a time, as `remove`."""
    if _hooks:
        return
    _hooks.append(_Hook(threading.Thread, "start", _starting))
    _awaited.append(AfterImport(_ANYIO, _hook_anyio))
    # After the end of the main thread it cannot be loaded.
    try:
        from concurrent.futures.thread import ThreadPoolExecutor
    except Exception:
        return
    _hooks.append(_Hook(ThreadPoolExecutor, "submit", _submitting))


def remove() -> None:
    """Link no more."""
    while _awaited:
        _awaited.pop().forget()
    while _hooks:
        _hooks.pop().remove()
