"""Async spans: they belong to a task rather than to a thread, may overlap, and know their parents."""

import itertools
import sys
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from flightsrv.tracing.attributes import raised
from flightsrv.tracing.buffers import AsyncBuffer, Nowhere
from flightsrv.tracing.recorder import Recorder, active

_frame_at = sys._getframe

# One sequence for the life of the interpreter, so that ids are never used again after a second `start`.
_span_ids = itertools.count(1)


class AsyncSpan:
    """One span of a task, for one `async with`; children are those begun in its context, new tasks included."""

    __slots__ = ("_attributes", "_buffer", "_code", "_recorder", "_token", "depth", "parent_span_id", "span_id")

    span_id: int
    parent_span_id: int
    depth: int
    _token: "Token[AsyncSpan | None]"

    def __init__(self, recorder: Recorder | None, code: int, attributes: dict[str, Any] | None = None) -> None:
        self._recorder = recorder
        self._code = code
        self._attributes = attributes
        """What is to be noted with the next event."""
        self._buffer: AsyncBuffer | Nowhere | None = None

    def begin(self) -> None:
        """Record the begin, unless nothing is recorded or there is no room."""
        recorder = self._recorder
        if recorder is None or self._buffer is not None:
            return
        buffer = recorder.threads.async_spans
        events = buffer.events
        if len(events) >= buffer.roomy_length and not buffer.accepts_another():
            return
        # As in `current_span`.
        parent = _current.get()
        if parent is None or parent._recorder is not recorder or parent.span_id < recorder.first_span_id:
            parent_span_id = depth = 0
        else:
            parent_span_id, depth = parent.span_id, parent.depth + 1
        self.parent_span_id = parent_span_id
        self.depth = depth
        self.span_id = span_id = next(_span_ids)
        attributes, self._attributes = self._attributes, None
        noted = buffer.note(self._code, attributes) if attributes else self._code
        event = (recorder.now(), noted, span_id, parent_span_id, depth)
        self._buffer = buffer
        events += event
        self._token = _current.set(self)

    def set(self, /, **attributes: Any) -> None:
        """Note attributes of the span until it ends."""
        if self._buffer is not None:
            self._attributes = (self._attributes or {}) | attributes

    def end(self, error: BaseException | None = None) -> None:
        """Record the end of a begin that was recorded, in the same stream, whatever thread this is; `error` is what
        left the span, if something did."""
        buffer, recorder = self._buffer, self._recorder
        if buffer is None or recorder is None:
            return
        self._buffer = None
        if self.span_id >= recorder.first_span_id:
            attributes, self._attributes = self._attributes, None
            if error is not None:
                attributes = (attributes or {}) | raised(error)
            noted = buffer.note(-self._code, attributes) if attributes else -self._code
            event = (recorder.now(), noted, self.span_id, self.parent_span_id, self.depth)
            events = buffer.events
            events += event
        try:
            _current.reset(self._token)
        except ValueError:
            # Left in another context than it was entered in, as a generator that was given up is.
            buffer.misplaced_ends += 1

    async def __aenter__(self) -> "AsyncSpan":
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)


def current_span(recorder: Recorder) -> AsyncSpan | None:
    """The span of this recorder that the calling task is in, or was made in."""
    current = _current.get()
    if current is None or current._recorder is not recorder or current.span_id < recorder.first_span_id:
        return None
    return current


def is_of_this_thread(span: AsyncSpan) -> bool:
    """Whether an open span was begun by the event loop of the calling thread."""
    return span._recorder is not None and span._buffer is span._recorder.threads.async_spans


def next_span_id() -> int:
    """An id that no span has had, smaller than those of all later spans."""
    return next(_span_ids)


_current: ContextVar[AsyncSpan | None] = ContextVar("flightsrv_async_span", default=None)


def set_attributes(**attributes: Any) -> None:
    """Note attributes of the innermost span that is open on the calling thread, or else of that of the calling task,
    until it ends: for code that did not open it. Without one, does nothing."""
    recorder = active()
    if recorder is None or recorder.threads.spans.set_attributes(None, attributes):
        return
    current = current_span(recorder)
    if current is not None:
        current.set(**attributes)


def async_span(name: str, /, **attributes: Any) -> AsyncSpan:
    """A span of the calling task: `async with async_span("request", path=path) as opened: ...`

    Attributes are those of `span`. It may be held across `await`, and overlap with spans of other tasks. Its parent is
    the async span around it, or around the place where its task was made.
    """
    recorder = active()
    if recorder is None:
        return AsyncSpan(None, 0)
    frame = _frame_at(1)
    # As in `span`.
    try:
        code, instruction, known = recorder.latest[name]
    except Exception:
        known = recorder.span_at(name, frame)
    else:
        if code is not frame.f_code or instruction != frame.f_lasti:
            known = recorder.span_at(name, frame)
    return AsyncSpan(recorder, known.code, attributes)
