"""From the events of a Chrome trace to begin and end events per thread, and async events per process.

Phases X, B and E make the spans of threads, b and e (and the older S and F) async spans, M names things. Others
carry no span; they are counted. Times are microseconds in the file, nanoseconds from here on.
"""

import re
from array import array
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from flightsrv.chrome.document import ChromeTraceError
from flightsrv.chrome.nesting import UNFINISHED, EventColumns, SpanColumns, add_matched, match_marks, nest
from udtf.lake.block_format import BEGIN, END, Scope

_SOURCE_IN_NAME = re.compile(r" \((?P<filename>.+):(?P<line>\d{1,9})\)$")
_FILENAME_ARGS = ("filename", "file", "src_file")
_LINE_ARGS = ("line", "lineno", "src_line")


@dataclass
class ThreadSpans:
    """What the file says of one thread: complete spans, and begins and ends as they stand in it."""

    name: str | None = None
    complete: SpanColumns = field(default_factory=SpanColumns)
    marks: EventColumns = field(default_factory=EventColumns)


@dataclass(frozen=True)
class AsyncColumns:
    """Async events by time; an end repeats the ids of its begin."""

    events: EventColumns = field(default_factory=EventColumns)
    span_ids: "array[int]" = field(default_factory=lambda: array("q"))
    parent_span_ids: "array[int]" = field(default_factory=lambda: array("q"))
    depths: "array[int]" = field(default_factory=lambda: array("I"))

    def append(self, ticks: int, kind: int, span: "_AsyncSpan") -> None:
        self.events.append(ticks, kind, span.scope)
        self.span_ids.append(span.span_id)
        self.parent_span_ids.append(span.parent_span_id)
        self.depths.append(span.depth)


@dataclass
class ProcessSpans:
    """What the file says of one process; threads by their id as written."""

    name: str | None = None
    labels: str | None = None
    threads: dict[str, ThreadSpans] = field(default_factory=lambda: defaultdict(ThreadSpans))
    async_columns: AsyncColumns = field(default_factory=AsyncColumns)


@dataclass
class Findings:
    """What a user should know about an import, as counts."""

    spans: int = 0
    unfinished: int = 0
    unmatched_ends: int = 0
    overlapping: int = 0
    with_arguments: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    """Events that carry no span, by phase."""


@dataclass(frozen=True)
class _AsyncMark:
    ticks: int
    kind: int
    key: tuple[str, ...]
    pid: str
    scope: int


@dataclass(frozen=True)
class _AsyncSpan:
    pid: str
    scope: int
    span_id: int
    parent_span_id: int
    depth: int


class SpanReader:
    """Takes the events of one file one after the other.

    `processes` are by process id as written, in the order of the file; codes of scopes are into `scopes`.
    """

    def __init__(self) -> None:
        self.processes: dict[str, ProcessSpans] = defaultdict(ProcessSpans)
        self.findings = Findings()
        self._scope_codes: dict[Scope, int] = {}
        self._seen_scopes: dict[tuple[Any, ...], int] = {}
        self._async_marks: list[_AsyncMark] = []

    @property
    def scopes(self) -> list[Scope]:
        return list(self._scope_codes)

    def read(self, events: list[Any]) -> None:
        """Take all events of the file.

        Raises:
            ChromeTraceError: an event that carries a span has no usable time.
        """
        for index, event in enumerate(events):
            phase = event.get("ph") if isinstance(event, dict) else None
            try:
                match phase:
                    case "X":
                        self._read_complete(event)
                    case "B" | "E":
                        self._read_mark(event, BEGIN if phase == "B" else END)
                    case "b" | "e" | "S" | "F":
                        self._read_async(event, phase)
                    case "M":
                        self._read_metadata(event)
                    case _:
                        self.findings.ignored[str(phase)] += 1
            except (ValueError, ArithmeticError) as error:
                raise ChromeTraceError(f"event {index} (phase {phase}): {error}") from error
        self._match_async()

    def sequences(self, thread: ThreadSpans) -> list[EventColumns]:
        """The thread's events; more than one sequence when complete spans overlap in part."""
        matched, unmatched_ends = match_marks(thread.marks)
        self.findings.unmatched_ends += unmatched_ends
        if not thread.complete.begins:
            # The order of the file says more about equal times than times do.
            return [self._counted(matched)]
        add_matched(thread.complete, matched)
        first, *overlapping = (self._counted(events) for events in nest(thread.complete))
        self.findings.overlapping += sum(events.kinds.count(BEGIN) for events in overlapping)
        return [first, *overlapping]

    def _counted(self, events: EventColumns) -> EventColumns:
        begun, ended = events.kinds.count(BEGIN), events.kinds.count(END)
        self.findings.spans += begun
        self.findings.unfinished += begun - ended
        return events

    def _read_complete(self, event: dict[str, Any]) -> None:
        begin_us = _microseconds(event, "ts")
        end_ns = UNFINISHED
        if "dur" in event:
            duration_us = _microseconds(event, "dur")
            # The sum is rounded, not its parts, so that rounding never makes nested spans overlap.
            end_ns = _nanoseconds(begin_us + duration_us)
        self._thread(event).complete.append(_nanoseconds(begin_us), end_ns, self._scope(event))

    def _read_mark(self, event: dict[str, Any], kind: int) -> None:
        scope = self._scope(event) if kind == BEGIN else 0
        self._thread(event).marks.append(_nanoseconds(_microseconds(event, "ts")), kind, scope)

    def _read_async(self, event: dict[str, Any], phase: str) -> None:
        kind = BEGIN if phase in "bS" else END
        scope = self._scope(event) if kind == BEGIN else 0
        ticks = _nanoseconds(_microseconds(event, "ts"))
        self._async_marks.append(_AsyncMark(ticks, kind, _async_key(event, phase), _pid(event), scope))
        self.processes[_pid(event)]  # a process is there from its first event on

    def _read_metadata(self, event: dict[str, Any]) -> None:
        args = event.get("args")
        if not isinstance(args, dict):
            return
        match event.get("name"):
            case "process_name":
                self.processes[_pid(event)].name = _encodable(_text(args.get("name")))
            case "process_labels":
                self.processes[_pid(event)].labels = _encodable(_text(args.get("labels")))
            case "thread_name":
                self._thread(event).name = _encodable(_text(args.get("name")))

    def _match_async(self) -> None:
        """By time, each end closing what its key opened last; a span's parent is open under the same key."""
        open_spans: dict[tuple[str, ...], list[_AsyncSpan]] = defaultdict(list)
        next_span_id = 1
        for mark in sorted(self._async_marks, key=lambda mark: mark.ticks):
            stack = open_spans[mark.key]
            if mark.kind == BEGIN:
                parent = stack[-1] if stack and stack[-1].pid == mark.pid else None
                span = _AsyncSpan(
                    mark.pid,
                    mark.scope,
                    next_span_id,
                    parent.span_id if parent else 0,
                    parent.depth + 1 if parent else 0,
                )
                next_span_id += 1
                stack.append(span)
            elif stack:
                span = stack.pop()
            else:
                self.findings.unmatched_ends += 1
                continue
            # The end of a global id may come from another process; it belongs where the span began.
            self.processes[span.pid].async_columns.append(mark.ticks, mark.kind, span)
        for process in self.processes.values():
            self._counted(process.async_columns.events)

    def _thread(self, event: dict[str, Any]) -> ThreadSpans:
        pid = _pid(event)
        tid = event.get("tid")
        return self.processes[pid].threads[pid if tid is None else _encodable(_text(tid))]

    def _scope(self, event: dict[str, Any]) -> int:
        """The code of the event's scope. Most events repeat one: its text is looked at only when it is new."""
        name, category, args = _text(event.get("name")), _text(event.get("cat")), event.get("args")
        source = None
        if args:
            self.findings.with_arguments += 1
            source = _source_of_args(args)
        key = (name, category, source)
        code = self._seen_scopes.get(key)
        if code is None:
            filename, line = source or _source_of_name(name)
            scope = Scope(_encodable(name), _encodable(category), _encodable(filename), line)
            code = self._seen_scopes[key] = self._scope_codes.setdefault(scope, len(self._scope_codes))
        return code


def as_arrays(
    events: EventColumns,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Ticks, kinds and scopes as numpy arrays over the same memory."""
    return np.asarray(events.ticks), np.asarray(events.kinds), np.asarray(events.scopes)


def _microseconds(event: dict[str, Any], key: str) -> int | Decimal:
    value = event.get(key)
    if isinstance(value, str):
        with suppress(ArithmeticError):
            value = Decimal(value)
    if type(value) is not int and not (type(value) is Decimal and value.is_finite()):
        raise ValueError(f"{key!r} must be a number of microseconds, given: {value!r}")
    if value < 0:
        raise ValueError(f"{key!r} must not be negative, given: {value}")
    return value


def _nanoseconds(microseconds: int | Decimal) -> int:
    nanoseconds = microseconds * 1000
    if nanoseconds >= UNFINISHED:
        raise ValueError(f"a time of {microseconds} microseconds does not fit into 64-bit nanoseconds")
    return round(nanoseconds)


def _async_key(event: dict[str, Any], phase: str) -> tuple[str, ...]:
    """What the begin and the end of an async span have in common."""
    category, scope, pid = _text(event.get("cat")), _text(event.get("scope")), _pid(event)
    if phase in "SF":
        return ("by name", pid, category, _text(event.get("id")), _text(event.get("name")))
    id2 = event.get("id2")
    if isinstance(id2, dict) and "global" in id2:
        return ("global", category, scope, _text(id2["global"]))
    local_id = id2.get("local") if isinstance(id2, dict) else event.get("id")
    return ("local", pid, category, scope, _text(local_id))


def _pid(event: dict[str, Any]) -> str:
    pid = event.get("pid")
    return "0" if pid is None else _encodable(_text(pid))


def _source_of_args(args: Any) -> tuple[str, int] | None:
    if not isinstance(args, dict):
        return None
    filename = next((args[key] for key in _FILENAME_ARGS if isinstance(args.get(key), str)), None)
    line = next((args[key] for key in _LINE_ARGS if type(args.get(key)) is int), 0)
    return None if filename is None else (filename, line if 0 <= line < 1 << 32 else 0)


def _source_of_name(name: str) -> tuple[str, int]:
    """File and line from a name as viztracer writes them: `function (file.py:12)`."""
    source = _SOURCE_IN_NAME.search(name)
    return (source["filename"], int(source["line"])) if source else ("", 0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _encodable(text: str) -> str:
    """JSON may hold halves of surrogate pairs, which no UTF-8 text can."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
