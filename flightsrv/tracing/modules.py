"""`trace_modules`: every call of a function in chosen modules is a span, without a change to those modules.

What ran on a thread is what is recorded: a generator or coroutine has one span for each of its steps, from being
resumed to giving a value, waiting, or ending. Spans are named by qualified name, at the function's first line.
"""

import logging
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from fnmatch import fnmatchcase
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from flightsrv.tracing.recorder import Recorder, Span, active
from flightsrv.tracing.scopes import MAX_SCOPES, Scope, sendable

_OWN_PACKAGE = __name__.rpartition(".")[0]

_log = logging.getLogger("flightsrv.tracing")


class ModuleTracing(ABC):
    """Automatic tracing until it is stopped; also a context manager."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._recorder: Recorder | None = None
        # By identity, because code objects are slow to hash; the code object is kept, so that it stays its own.
        self._spans: dict[int, tuple[CodeType, Span | None]] = {}

    @abstractmethod
    def start(self) -> bool:
        """Begin, unless the interpreter's means for it are in use by others; returns whether it did."""

    @abstractmethod
    def stop(self) -> None:
        """Trace no more calls. Harmless when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _span_of(self, recorder: Recorder, frame: FrameType) -> Span | None:
        """The span for what a frame runs, if that is in a chosen module."""
        if recorder is not self._recorder:
            self._recorder, self._spans = recorder, {}
        code = frame.f_code
        known = self._spans.get(id(code))
        if known is None:
            if len(self._spans) >= MAX_SCOPES:
                self._spans.clear()
            known = self._spans[id(code)] = (code, self._choose(recorder, frame))
        return known[1]

    def _known_span_of(self, code: CodeType) -> Span | None:
        """The same for what was asked for before."""
        known = self._spans.get(id(code))
        return None if known is None else known[1]

    def _choose(self, recorder: Recorder, frame: FrameType) -> Span | None:
        module = sendable(frame.f_globals.get("__name__", ""))
        if module == _OWN_PACKAGE or module.startswith(_OWN_PACKAGE + "."):
            return None
        if not any(fnmatchcase(module, pattern) for pattern in self._patterns):
            return None
        code = frame.f_code
        return recorder.span_of(
            Scope(sendable(code.co_qualname), module, sendable(code.co_filename), code.co_firstlineno)
        )


class _Profiling(ModuleTracing):
    """By the profiling hook: the calling thread and threads that start later. Slows every call down a little."""

    _is_stopped = False

    def start(self) -> bool:
        if sys.getprofile() is not None:
            return False
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)
        return True

    def stop(self) -> None:
        self._is_stopped = True
        if threading.getprofile() == self._on_event:
            threading.setprofile(None)
        if sys.getprofile() == self._on_event:
            sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._is_stopped:
            # Another thread has stopped it; only this thread can take it away here.
            sys.setprofile(None)
            return
        recorder = active()
        if recorder is None:
            return
        if event == "call":
            span = self._span_of(recorder, frame)
            if span is not None:
                span.__enter__()
        elif event == "return":
            span = self._known_span_of(frame.f_code)
            if span is not None:
                span.__exit__(None, None, None)


if sys.version_info >= (3, 12):

    class _Monitoring(ModuleTracing):
        """By the monitoring interface of Python 3.12 and later: all threads. The events of other modules are switched
        off at the first call of each function, except those of exceptions."""

        _tool_id: int | None = None

        def start(self) -> bool:
            monitoring = sys.monitoring
            tool_ids = (monitoring.PROFILER_ID, 3, 4)
            free = [tool_id for tool_id in tool_ids if monitoring.get_tool(tool_id) is None]
            if not free:
                return False
            monitoring.use_tool_id(free[0], _OWN_PACKAGE)
            self._tool_id = free[0]
            events = monitoring.events
            callbacks: dict[int, Callable[..., Any]] = {
                events.PY_START: self._on_begin,
                events.PY_RESUME: self._on_begin,
                events.PY_THROW: self._on_throw,
                events.PY_RETURN: self._on_end,
                events.PY_YIELD: self._on_end,
                events.PY_UNWIND: self._on_unwind,
            }
            for event, callback in callbacks.items():
                monitoring.register_callback(self._tool_id, event, callback)
            monitoring.set_events(self._tool_id, sum(callbacks))
            # Places that were switched off for an earlier choice of modules may be in this one.
            monitoring.restart_events()
            return True

        def stop(self) -> None:
            if self._tool_id is not None:
                sys.monitoring.set_events(self._tool_id, 0)
                sys.monitoring.free_tool_id(self._tool_id)
                self._tool_id = None

        def _on_begin(self, code: CodeType, offset: int) -> Any:
            recorder = active()
            if recorder is None:
                return None
            span = self._span_of(recorder, sys._getframe(1))
            if span is None:
                return sys.monitoring.DISABLE
            span.__enter__()
            return None

        def _on_throw(self, code: CodeType, offset: int, error: BaseException) -> None:
            recorder = active()
            if recorder is not None:
                span = self._span_of(recorder, sys._getframe(1))
                if span is not None:
                    span.__enter__()

        def _on_end(self, code: CodeType, offset: int, value: object) -> Any:
            if active() is None:
                return None
            known = self._spans.get(id(code))
            if known is None:
                # It has been running since before this began. Its next call may be one to trace.
                return None
            span = known[1]
            if span is None:
                return sys.monitoring.DISABLE
            span.__exit__(None, None, None)
            return None

        def _on_unwind(self, code: CodeType, offset: int, error: BaseException) -> None:
            # This event cannot be switched off by code object.
            self._on_end(code, offset, error)

    _Mechanism = _Monitoring
else:
    _Mechanism = _Profiling


def trace_modules(*patterns: str) -> ModuleTracing:
    """Trace all calls of Python functions in modules whose name matches: `trace_modules("myapp", "myapp.*")`.

    Patterns are those of file names (`*`, `?`, `[...]`). From Python 3.12 on it covers all threads; before, the
    calling thread and those that start later. Where a profiler holds what is needed for it, nothing is traced,
    and the log says so.
    """
    tracing = _Mechanism(patterns)
    if not tracing.start():
        _log.warning("modules %s are not traced: another profiler is at work", ", ".join(patterns))
    return tracing
