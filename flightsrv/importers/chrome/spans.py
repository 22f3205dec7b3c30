"""From the events of a Chrome trace to begin and end events per thread, and async events per process.

Phases X, B and E make the spans of threads, b and e (and the older S and F) async spans, i (and the older I and R) and
n instants, C values of counters, s, t and f flows, of which other events may be as well, M names things. Others have no
place; they are counted. Times are microseconds in the file, nanoseconds from here on.
"""

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from flightsrv.importers.chrome.arguments import NO_ARGUMENTS, Arguments
from flightsrv.importers.chrome.async_spans import WITHIN, AsyncColumns, AsyncMarks, Key, MarkedSpans
from flightsrv.importers.chrome.findings import Findings
from flightsrv.importers.chrome.flows import END as FLOW_END
from flightsrv.importers.chrome.flows import END_AT_NEXT, START, STEP, FlowEvents, FlowIds
from flightsrv.importers.chrome.nesting import UNFINISHED, EventColumns, SpanColumns, add_matched, match_marks, nest
from flightsrv.importers.chrome.texts import fit, id_of, text_of
from udtf.lake.block_format import BEGIN, END, Scope

_EARLIEST_NS = -24 * 60 * 60 * 1_000_000_000
_LATEST_NS = 1 << 62
"""Leaves room for a time zero of as much: the sum fits into 64 bits."""
_MOST_DIGITS = 18
_TOO_FAR = "its time is a day or more before, or 146 years or more after, what the file calls 0"

_SOURCE_IN_NAME = re.compile(r" \((?P<filename>.+):(?P<line>\d{1,9})\)$")
_FILENAME_ARGS = ("filename", "file", "src_file")
_LINE_ARGS = ("line", "lineno", "src_line")
_OTHER_KINDS = {
    phase: kind
    for kind, phases in {
        "async step": "Tp",
        "sample": "P",
        "object": "NOD",
        "memory dump": "vV",
        "clock": "c",
        "context": "()",
    }.items()
    for phase in phases
}


class _UnusableError(Exception):
    """The event cannot be used; the message says why, without what stands in it."""


@dataclass
class MomentColumns:
    """Instants, or values of counters, as they stand in the file; instants have no values."""

    ticks: "array[int]" = field(default_factory=lambda: array("q"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    arguments: "array[int]" = field(default_factory=lambda: array("i"))
    """Of instants."""


@dataclass
class ThreadSpans:
    """What the file says of one thread: complete spans, begins and ends as they stand in it, instants, and events of
    flows."""

    name: str | None = None
    sort_index: int | None = None
    complete: SpanColumns = field(default_factory=SpanColumns)
    marks: EventColumns = field(default_factory=EventColumns)
    instants: MomentColumns = field(default_factory=MomentColumns)
    flows: FlowEvents = field(default_factory=FlowEvents)


@dataclass
class ProcessSpans:
    """What the file says of one process; threads by their id as text. `instants` are those of no thread."""

    name: str | None = None
    labels: str | None = None
    sort_index: int | None = None
    threads: dict[str, ThreadSpans] = field(default_factory=lambda: defaultdict(ThreadSpans))
    async_columns: AsyncColumns = field(default_factory=AsyncColumns)
    instants: MomentColumns = field(default_factory=MomentColumns)
    counters: MomentColumns = field(default_factory=MomentColumns)


class SpanReader:
    """Takes the events of one file one after the other.

    `processes` are by process id as text, in the order of the file; codes of scopes are into `scopes`, those of
    arguments into `arguments`. `async_flows` are events of flows at async spans, which `marked` tells once all is read.
    """

    def __init__(self) -> None:
        self.processes: dict[str, ProcessSpans] = defaultdict(ProcessSpans)
        self.findings = Findings()
        self.scopes: list[Scope] = []
        self.arguments = Arguments()
        self._scope_codes: dict[Scope, int] = {}
        self._seen_scopes: dict[tuple[Any, ...], int] = {}
        self._seen_threads: dict[tuple[Any, Any], ThreadSpans] = {}
        self._async_marks = AsyncMarks()
        self.marked: MarkedSpans | None = None
        self.async_flows = FlowEvents()
        self._flow_ids = FlowIds()
        self._place = 0

    def read(self, events: Iterable[Any]) -> None:
        """Take all events of the file. What cannot be used is counted and left out."""
        for index, event in enumerate(events):
            if event == {}:
                continue  # stands behind the last comma in many files
            self._place = index
            try:
                self._read(event)
            except _UnusableError as error:
                self.findings.leave_out(str(error), _in_words(index, event))
        async_columns, self.marked, unmatched_ends = self._async_marks.match(self.scopes)
        self.findings.unmatched_ends += unmatched_ends
        for pid, columns in async_columns.items():
            self.processes[pid].async_columns = columns
            self._counted(columns.events)

    def sequences(self, thread: ThreadSpans) -> list[EventColumns]:
        """The thread's events; more than one sequence when complete spans overlap in part."""
        matched = match_marks(thread.marks, self.scopes)
        self.findings.unmatched_ends += matched.unmatched_ends
        self.findings.ended_early += matched.ended_early
        if not thread.complete.begins:
            # The order of the file says more about equal times than times do.
            return [self._counted(matched.events)]
        add_matched(thread.complete, matched.events)
        first, *overlapping = (self._counted(events) for events in nest(thread.complete))
        self.findings.overlapping += sum(events.kinds.count(BEGIN) for events in overlapping)
        return [first, *overlapping]

    def _read(self, event: Any) -> None:
        said = event.get("ph") if isinstance(event, dict) else None
        if not isinstance(said, str):
            raise _UnusableError("it is no object with a phase, 'ph'")
        phase = said[:1]  # for Perfetto as well
        match phase:
            case "X":
                self._read_complete(event)
            case "B" | "E":
                self._read_mark(event, BEGIN if phase == "B" else END)
            case "b" | "e" | "S" | "F":
                self._read_async(event, phase)
            case "n":
                self._read_async_instant(event)
            case "i" | "I" | "R":
                self._read_instant(event)
            case "s" | "t" | "f":
                self._read_flow(event, phase)
            case "C":
                self._read_counter(event)
            case "M":
                self._read_metadata(event)
            case _:
                self.findings.other_kinds[_OTHER_KINDS.get(phase) or f"unknown ({fit(said[:10])!r})"] += 1

    def _counted(self, events: EventColumns) -> EventColumns:
        begun, ended = events.kinds.count(BEGIN), events.kinds.count(END)
        self.findings.spans += begun
        self.findings.unfinished += begun - ended
        return events

    def _read_complete(self, event: dict[str, Any]) -> None:
        begin_us = _microseconds(event, "ts")
        begin_ns, end_ns = _nanoseconds(begin_us), UNFINISHED
        if "dur" in event:
            duration_us = _microseconds(event, "dur")
            if duration_us < 0:
                raise _UnusableError("its duration, 'dur', is below 0")
            # The sum is rounded, not its parts, so that rounding never makes nested spans overlap.
            end_ns = _nanoseconds(begin_us + duration_us)
        thread, scope = self._thread(event), self._scope(event)
        thread.complete.append(begin_ns, end_ns, scope, self._arguments(event))
        if "bind_id" in event:
            self._bind(event, thread.flows, begin_ns, scope)

    def _read_mark(self, event: dict[str, Any], kind: int) -> None:
        ticks = _nanoseconds(_microseconds(event, "ts"))
        thread, scope = self._thread(event), self._scope(event)
        thread.marks.append(ticks, kind, scope, self._arguments(event))
        if "bind_id" in event:
            self._bind(event, thread.flows, ticks, scope)

    def _read_async(self, event: dict[str, Any], phase: str) -> None:
        ticks = _nanoseconds(_microseconds(event, "ts"))
        pid = _pid(event)
        self.processes[pid]  # in the order of the file
        scope = self._scope(event)
        kind = BEGIN if phase in "bS" else END
        key = _async_key(event, phase, pid)
        mark = self._async_marks.append(ticks, kind, scope, self._arguments(event), key, pid)
        if "bind_id" in event:
            self._bind(event, self.async_flows, ticks, scope, mark)

    def _read_async_instant(self, event: dict[str, Any]) -> None:
        """An instant of the process; a flow that it is bound to is that of the async span around it."""
        ticks = _nanoseconds(_microseconds(event, "ts"))
        pid = _pid(event)
        scope = self._scope(event)
        self._add_instant(self.processes[pid].instants, ticks, scope, self._arguments(event))
        if "bind_id" in event:
            key = _async_key(event, "n", pid)
            mark = self._async_marks.append(ticks, WITHIN, scope, NO_ARGUMENTS, key, pid)
            self._bind(event, self.async_flows, ticks, scope, mark)

    def _read_flow(self, event: dict[str, Any], phase: str) -> None:
        ticks = _nanoseconds(_microseconds(event, "ts"))
        flow = self._flow_ids.of_flow(event, _pid(event))
        if flow is None:
            raise _UnusableError("it is of a flow, without an id, 'id'")
        end = FLOW_END if event.get("bp") == "e" else END_AT_NEXT
        kind = {"s": START, "t": STEP, "f": end}[phase]
        flows = self._thread(event).flows
        flows.append(ticks, kind, flow, self._scope(event), self._arguments(event), self._place)

    def _bind(self, event: dict[str, Any], flows: FlowEvents, ticks: int, scope: int, mark: int = 0) -> None:
        """Have a flow begin or end at the span that an event is of, or both."""
        is_end, is_start = event.get("flow_in") is True, event.get("flow_out") is True
        flow = self._flow_ids.of_binding(event)
        if flow is None or not (is_end or is_start):
            missing = "they have no id, 'bind_id'" if flow is None else "'flow_in' and 'flow_out' are both missing"
            self.leave_out_of_flows(missing, self._place, scope)
            return
        kind = STEP if is_end and is_start else START if is_start else FLOW_END
        flows.append(ticks, kind, flow, scope, NO_ARGUMENTS, self._place, mark)

    def leave_out_of_flows(self, reason: str, place: int, scope: int) -> None:
        """Count an event that has no part in a flow, given its place in the file."""
        self.findings.leave_out_of_flows(reason, f"event {place}, {self.scopes[scope].name[:60]!r}")

    def _read_instant(self, event: dict[str, Any]) -> None:
        ticks = _nanoseconds(_microseconds(event, "ts"))
        # Of the process, or of everything, where it says so.
        is_of_process = event.get("s") in ("p", "g")
        columns = self.processes[_pid(event)].instants if is_of_process else self._thread(event).instants
        self._add_instant(columns, ticks, self._scope(event), self._arguments(event))

    def _add_instant(self, columns: MomentColumns, ticks: int, scope: int, arguments: int) -> None:
        columns.ticks.append(ticks)
        columns.scopes.append(scope)
        columns.arguments.append(arguments)
        self.findings.instants += 1

    def _read_counter(self, event: dict[str, Any]) -> None:
        """Each argument that is a number is the value of a counter of its own."""
        ticks = _nanoseconds(_microseconds(event, "ts"))
        args = event.get("args")
        if not isinstance(args, dict):
            raise _UnusableError("it is a counter without values, 'args'")
        columns = self.processes[_pid(event)].counters
        name, category = text_of(event.get("name")), text_of(event.get("cat"))
        for key, given in args.items():
            value = _value(given)
            if value is None:
                self.findings.leave_out("the value of a counter is no number", fit(f"{name} {key}")[:60])
                continue
            columns.ticks.append(ticks)
            columns.scopes.append(self._code_of((f"{name} {key}", category, None), ("", 0)))
            columns.values.append(value)
            self.findings.counter_values += 1

    def _read_metadata(self, event: dict[str, Any]) -> None:
        args = event.get("args")
        if not isinstance(args, dict):
            return
        match event.get("name"):
            case "process_name":
                self.processes[_pid(event)].name = self._fit(text_of(args.get("name")))
            case "process_labels":
                self.processes[_pid(event)].labels = self._fit(text_of(args.get("labels")))
            case "process_sort_index":
                self.processes[_pid(event)].sort_index = _sort_index(args)
            case "thread_name":
                self._thread(event).name = self._fit(text_of(args.get("name")))
            case "thread_sort_index":
                self._thread(event).sort_index = _sort_index(args)

    def _thread(self, event: dict[str, Any]) -> ThreadSpans:
        """The thread of the event. Most events are of one that is known: its ids are looked at only when it is new."""
        key = event.get("pid"), event.get("tid")
        try:
            return self._seen_threads[key]
        except KeyError:
            thread = self._seen_threads[key] = self._new_thread(event)
        except TypeError:  # ids that are lists or objects
            thread = self._new_thread(event)
        return thread

    def _new_thread(self, event: dict[str, Any]) -> ThreadSpans:
        pid = _pid(event)
        tid = event.get("tid")
        return self.processes[pid].threads[pid if tid is None else id_of(tid)]

    def _scope(self, event: dict[str, Any]) -> int:
        """The code of the event's scope. Most events repeat one: its text is looked at only when it is new."""
        name, category, args = text_of(event.get("name")), text_of(event.get("cat")), event.get("args")
        source = _source_of_args(args) if args else None
        return self._code_of((name, category, source), source)

    def _arguments(self, event: dict[str, Any]) -> int:
        return self.arguments.code_of(event["args"]) if "args" in event else NO_ARGUMENTS

    def _code_of(self, key: tuple[str, str, Any], source: tuple[str, int] | None) -> int:
        """The code of a scope, by what is known of it; its source may be in its name."""
        code = self._seen_scopes.get(key)
        if code is None:
            name, category, _ = key
            filename, line = source or _source_of_name(name)
            scope = Scope(self._fit(name), self._fit(category), self._fit(filename), line)
            code = self._scope_codes.setdefault(scope, len(self.scopes))
            if code == len(self.scopes):
                self.scopes.append(scope)
            self._seen_scopes[key] = code
        return code

    def _fit(self, text: str) -> str:
        fitting = fit(text)
        self.findings.altered_texts += fitting != text
        return fitting


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
    if type(value) is Decimal and value.is_finite():
        if value.adjusted() > _MOST_DIGITS:  # before it is computed with, which takes long for 1e999999
            raise _UnusableError(_TOO_FAR)
        return value
    if type(value) is int:
        return value
    raise _UnusableError(f"{key!r} is no number of microseconds")


def _nanoseconds(microseconds: int | Decimal) -> int:
    nanoseconds = round(microseconds * 1000)
    if not _EARLIEST_NS < nanoseconds < _LATEST_NS:
        raise _UnusableError(_TOO_FAR)
    return nanoseconds


def _value(given: Any) -> float | None:
    """The value of a counter; a number as text is one, too."""
    if isinstance(given, bool) or not isinstance(given, int | Decimal | float | str):
        return None
    try:
        value = float(given)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _sort_index(args: dict[str, Any]) -> int | None:
    """The place that a process or a thread has among others; None if it is no number of 32 bits."""
    given = args.get("sort_index")
    if type(given) is Decimal and given.is_finite() and abs(given) < 1 << 31:
        given = int(given)
    return given if type(given) is int and abs(given) < 1 << 31 else None


def _async_key(event: dict[str, Any], phase: str, pid: str) -> Key:
    category, scope = text_of(event.get("cat")), text_of(event.get("scope"))
    if phase in "SF":
        return ("by name", pid, category, text_of(event.get("id")), text_of(event.get("name")))
    id2 = event.get("id2")
    if isinstance(id2, dict) and "global" in id2:
        return ("global", category, scope, text_of(id2["global"]))
    local_id = id2.get("local") if isinstance(id2, dict) else event.get("id")
    return ("local", pid, category, scope, text_of(local_id))


def _pid(event: dict[str, Any]) -> str:
    pid = event.get("pid")
    return "0" if pid is None else id_of(pid)


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


def _in_words(index: int, event: Any) -> str:
    """An event, so that it can be found in the file."""
    name = event.get("name") if isinstance(event, dict) else event
    return f"event {index}" if name is None else f"event {index}, {fit(text_of(name))[:60]!r}"
