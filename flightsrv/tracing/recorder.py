"""The recording path: what happens in the host's threads between `with span(...)` and a list of integers.

Everything is written for the ordinary case to be short: with the sender's share, a span costs the host less than
a microsecond. The order of statements in `Span` matters. An exception that a signal handler raises (Ctrl-C)
arrives after a call, when a function begins, or in a loop, never between other instructions; so the two lists are
changed where there is none of this, and `__exit__` begins without. Then begins and ends match whatever interrupts them.
"""

import opcode
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Protocol, cast

from flightsrv.tracing.attributes import raised
from flightsrv.tracing.buffers import (
    FIRST_TICKS,
    Buffer,
    BufferSettings,
    MeasureBuffer,
    OpenSpan,
    Owner,
    Reserve,
    Threads,
)
from flightsrv.tracing.scopes import MAX_SCOPES, Scope, ScopeTable, sendable

_frame_at = sys._getframe

MAX_BUFFERS = 1 << 14
"""More than there are at any time, unless the sender is kept from retiring those of threads that are over."""


class Span:
    """One place in the source that spans are recorded for: a context manager for any number of them.

    It holds nothing of a single span, so threads may share it and may enter it again within itself.
    """

    __slots__ = ("_now", "_threads", "code")

    def __init__(self, threads: Threads, now: Callable[[], int], code: int) -> None:
        self._threads = threads
        self._now = now
        self.code = code

    def __enter__(self) -> "Span":
        thread = self._threads.spans
        events = thread.events
        code = self.code
        if len(events) < thread.roomy_length:
            now = self._now
            open_codes = thread.open_codes
            events += (now(), code)
            open_codes += (code,)
        else:
            thread.begin_when_crowded(code)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread = self._threads.spans
        open_codes = thread.open_codes
        code = self.code
        if open_codes[-1] == code:
            now = self._now
            events = thread.events
            try:
                event = (now(), -code if kind is None else thread.note(-code, raised(error)))
            except BaseException as failure:
                # No earlier than what was recorded before.
                event = (FIRST_TICKS, -code)
                del open_codes[-1]
                events += event
                if isinstance(failure, RecursionError):
                    # There was no room to note `error`, which goes on.
                    return
                raise
            del open_codes[-1]
            events += event
        elif open_codes[-1] == -code:
            del open_codes[-1]
        else:
            try:
                thread.end_with(code, error, kind is not None)
            except RecursionError:
                # There was no room for calls. What had begun within the span was ended, or is by the span around it.
                top = open_codes[-1]
                if type(top) is OpenSpan and top.code == code:
                    event, events = (self._now(), -code), thread.events
                    del open_codes[-1]
                    events += event

    def set(self, /, **attributes: Any) -> None:
        """Note attributes of the innermost span of this place that is open on the calling thread, until it ends."""
        self._threads.spans.set_attributes(self.code, attributes)


class SpanWithAttributes:
    """One span of a place, with what is noted of it."""

    __slots__ = ("_attributes", "_span")

    def __init__(self, span: Span, attributes: dict[str, Any]) -> None:
        self._span = span
        self._attributes = attributes

    def __enter__(self) -> Span:
        span = self._span
        thread, code = span._threads.spans, span.code
        if len(thread.events) < thread.roomy_length or thread.accepts_another():
            event = (span._now(), thread.note(code, self._attributes))
            events, open_codes = thread.events, thread.open_codes
            # As in `Span.__enter__`, nothing is interrupted from here on.
            events += event
            open_codes += (code,)
        else:
            thread.refuse(code)
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, traceback)


def _begin_without_interruption(function: FunctionType) -> None:
    """Have a function run handlers of signals, and raise what they raise, from its first call on only.

    The instruction at the begin of each function does so, except where it goes on after `yield from`, which its
    argument says. Where that is not found, the function stays as it is.
    """
    resume, after_start, after_yield_from = opcode.opmap["RESUME"], 0, 2
    instructions = bytearray(function.__code__.co_code)
    for position in range(0, len(instructions), 2):
        if instructions[position] == resume:
            if instructions[position + 1] == after_start:
                instructions[position + 1] = after_yield_from
                function.__code__ = function.__code__.replace(co_code=bytes(instructions))
            return


for _end in (Span.__exit__, SpanWithAttributes.__exit__):
    _begin_without_interruption(cast(FunctionType, _end))


class _NoSpan:
    """What `span` gives while nothing is recorded."""

    __slots__ = ()

    def __enter__(self) -> "_NoSpan":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def set(self, /, **attributes: Any) -> None:
        pass


NO_SPAN = _NoSpan()


class Recorder:
    """Buffers, scopes and places of one recording, from `start` to `stop`."""

    def __init__(self, settings: BufferSettings) -> None:
        self.settings = settings
        self.now = settings.now
        self.scopes = ScopeTable()
        self.buffers: dict[Buffer, None] = {}
        """As an ordered set: threads add theirs, the sender removes them."""
        self.is_congested = False
        self.has_sender = True
        """Otherwise one is started when the first span is recorded."""
        self.first_span_id = 0
        """Async spans with smaller ids belong to the process that this one was forked from."""
        self._reserve = Reserve(settings.reserve_spans)
        self.threads = Threads(settings, self._reserve, self._register)
        self._make_values()
        self.retired_drops = self.retired_dropped_entries = self.retired_misplaced_ends = 0
        """Counted by buffers that are gone with their threads: spans, entries of logs, and ends."""
        self.latest: dict[str, tuple[CodeType, int, Span]] = {}
        """By name, where a span was last asked for (code, instruction in it), and the span."""
        self.by_code: dict[int, tuple[CodeType, Span]] = {}
        """By the identity of a code object, the span of the runs of its function as work of another thread."""
        self.by_log_place: dict[tuple[object, object, object, object], int] = {}
        """By logger, file, line and function, the code of what is logged there."""
        self._by_place: dict[tuple[str, int, int], tuple[CodeType, int, Span]] = {}

    def span_at(self, name: object, frame: FrameType) -> Span:
        """The span of this name for the place where a frame is now."""
        text = sendable(name)
        # By the identity of the code object, whose hash is slow; it is kept beside, so that the identity stays its own.
        place = (text, id(frame.f_code), frame.f_lasti)
        known = self._by_place.get(place)
        if known is None:
            if len(self._by_place) >= MAX_SCOPES:
                self._by_place.clear()
                self.latest.clear()
            target = frame.f_globals.get("__name__", "")
            scope = Scope(text, sendable(target), sendable(frame.f_code.co_filename), frame.f_lineno or 0)
            known = self._by_place[place] = (frame.f_code, frame.f_lasti, self.span_of(scope))
        self.latest[text] = known
        return known[2]

    def span_of(self, scope: Scope) -> Span:
        """A span for a scope."""
        return Span(self.threads, self.settings.now, self.scopes.code_of(scope))

    def silence_this_thread(self) -> None:
        """Record nothing of the calling thread, and keep nothing for it."""
        self.threads.is_silent = True
        for buffer in (self.threads.spans, self.threads.async_spans):
            if isinstance(buffer, Buffer):
                buffer.close()
                del self.buffers[buffer]

    def await_sender(self) -> None:
        """Have the first span start the sender."""
        self.has_sender = False
        for buffer in self.buffers:
            buffer.alert_at_first()

    def follow_fork(self, first_span_id: int) -> None:
        """In a forked child, go on with empty buffers: what was recorded, and what is open, is the parent's."""
        self.buffers.clear()
        self.retired_drops = self.retired_dropped_entries = self.retired_misplaced_ends = 0
        self.is_congested = self.has_sender = False
        self.first_span_id = first_span_id
        self._reserve.give_back_all()
        self.threads.renew()
        self._make_values()

    def retire(self, buffer: Buffer) -> None:
        """Forget the buffer of a thread that is over, once it is empty."""
        del self.buffers[buffer]
        if buffer.has_spans:
            self.retired_drops += buffer.dropped
        else:
            self.retired_dropped_entries += buffer.dropped
        self.retired_misplaced_ends += buffer.misplaced_ends

    def set_congested(self, is_congested: bool) -> None:
        """While congested, threads that are new record nothing, or their buffers would pile up."""
        self.is_congested = is_congested
        if not is_congested:
            for buffer in list(self.buffers):
                buffer.open()

    def count_drops(self) -> tuple[int, int]:
        """How many spans, and how many entries of logs and values of counters, were dropped so far."""
        spans, others = self.retired_drops, self.retired_dropped_entries
        for buffer in list(self.buffers):
            if buffer.has_spans:
                spans += buffer.dropped
            else:
                others += buffer.dropped
        return spans, others

    def _make_values(self) -> None:
        self._owner = Owner()
        self.values = MeasureBuffer(self.settings, self._reserve, self._owner)
        """Of the counters of the process, from all threads."""
        self._register(self.values)

    def _register(self, *buffers: Buffer) -> None:
        is_full = self.is_congested or len(self.buffers) >= MAX_BUFFERS
        for buffer in buffers:
            if is_full:
                buffer.close()
            elif not self.has_sender:
                buffer.alert_at_first()
            self.buffers[buffer] = None


_active: Recorder | None = None


def active() -> Recorder | None:
    """The recorder that takes spans now, if there is one."""
    return _active


def activate(recorder: Recorder | None) -> None:
    """Record with this one from now on, or not at all."""
    global _active
    _active = recorder


class OpenedSpan(Protocol):
    """What `with span(...) as opened` gives."""

    def set(self, /, **attributes: Any) -> None:
        """Note attributes of the span, which must be open."""


def span(name: str, /, **attributes: Any) -> AbstractContextManager[OpenedSpan]:
    """A span of the calling thread, for a `with` statement: `with span("query", sql=text) as opened: ...`

    It is named `name` and belongs to the module, file and line of the caller. Attributes are text, numbers and
    booleans; of lists and dicts their JSON is kept, of all else its text. More may be set until the end
    (`opened.set(rows=3)`). An exception that leaves the span is noted by itself.

    Spans of a thread nest: a span that has others open within it ends those too. So do not hold one across an `await`
    or a `yield`, where other code may run on the thread; `async_span` is made for that.
    """
    recorder = _active
    if recorder is None:
        return NO_SPAN
    frame = _frame_at(1)
    try:
        code, instruction, known = recorder.latest[name]
    except Exception:  # it is new, or no name
        known = recorder.span_at(name, frame)
    else:
        if code is not frame.f_code or instruction != frame.f_lasti:
            known = recorder.span_at(name, frame)
    return SpanWithAttributes(known, attributes) if attributes else known
