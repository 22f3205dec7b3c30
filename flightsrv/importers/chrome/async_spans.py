"""From begins and ends of async spans to async events per process, each with its span and the parent of that."""

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flightsrv.importers.chrome.nesting import EventColumns, rows
from udtf.lake.block_format import BEGIN, END, Scope

Key = tuple[str, ...]
"""What the begin and the end of an async span have in common, apart from its name."""

WITHIN = 2
"""Stands beside the kinds of events: a moment within an async span."""


@dataclass(frozen=True)
class AsyncColumns:
    """Async events by time; an end repeats the ids of its begin."""

    events: EventColumns = field(default_factory=EventColumns)
    span_ids: "array[int]" = field(default_factory=lambda: array("q"))
    parent_span_ids: "array[int]" = field(default_factory=lambda: array("q"))
    depths: "array[int]" = field(default_factory=lambda: array("I"))


@dataclass
class _Span:
    pid: str
    scope: int
    span_id: int
    parent_span_id: int
    depth: int
    is_open: bool = True


@dataclass(frozen=True)
class MarkedSpans:
    """The spans of marks: their ids, 0 where there is none, and which of the `pids` their processes have."""

    span_ids: npt.NDArray[np.int64]
    processes: npt.NDArray[np.intp]
    pids: Sequence[str]


class AsyncMarks:
    """Begins and ends of async spans, and moments within them, as they stand in the file."""

    def __init__(self) -> None:
        self._events = EventColumns()
        self._keys = array("i")
        self._pids = array("i")
        self._key_codes: dict[Key, int] = {}
        self._pid_codes: dict[str, int] = {}

    def append(self, ticks: int, kind: int, scope: int, arguments: int, key: Key, pid: str) -> int:
        """Returns the number of the mark, from 0 on."""
        self._events.append(ticks, kind, scope, arguments)
        self._keys.append(self._key_codes.setdefault(key, len(self._key_codes)))
        self._pids.append(self._pid_codes.setdefault(pid, len(self._pid_codes)))
        return len(self._pids) - 1

    def match(self, scopes: Sequence[Scope]) -> tuple[Mapping[str, AsyncColumns], MarkedSpans, int]:
        """The events of each process, by time; the spans of the marks; and the number of ends left out because they fit
        nothing that is open.

        An end closes what its key opened last and has its name, or just what its key opened last if it has none. What
        was opened after that stays open: async spans may overlap. The parent of a span is what its key opened last in
        its process. A moment is within that, too.
        """
        columns: dict[str, AsyncColumns] = defaultdict(AsyncColumns)
        open_spans = _OpenSpans()
        pids = list(self._pid_codes)
        last_span_id = unmatched_ends = 0
        events = self._events
        order = np.argsort(events.ticks, kind="stable")
        marked = MarkedSpans(np.zeros(len(order), np.int64), np.zeros(len(order), np.intp), pids)
        marks = (events.ticks, events.kinds, events.scopes, events.arguments, self._keys, self._pids)
        for mark, ticks, kind, scope, arguments, key, pid in rows(
            order, *(np.asarray(column)[order] for column in marks)
        ):
            name = scopes[scope].name
            span = open_spans.innermost(key, name if kind == END else "")
            if kind == BEGIN:
                parent = span if span is not None and span.pid == pids[pid] else None
                last_span_id += 1
                span = _Span(
                    pids[pid],
                    scope,
                    last_span_id,
                    parent.span_id if parent else 0,
                    parent.depth + 1 if parent else 0,
                )
                open_spans.open(key, name, span)
            elif span is not None and kind == END:
                open_spans.close(key, scopes[span.scope].name, span)
            elif span is None:
                unmatched_ends += kind == END
                continue
            marked.span_ids[mark], marked.processes[mark] = span.span_id, self._pid_codes[span.pid]
            if kind == WITHIN:
                continue
            # The end of a global id may come from another process; it belongs where the span began.
            of_process = columns[span.pid]
            of_process.events.append(ticks, kind, span.scope, arguments)
            of_process.span_ids.append(span.span_id)
            of_process.parent_span_ids.append(span.parent_span_id)
            of_process.depths.append(span.depth)
        return columns, marked, unmatched_ends


class _OpenSpans:
    """The spans that are open under each key, and under each key and name; what is on top of a stack is open."""

    def __init__(self) -> None:
        self._stacks: dict[tuple[int, str], list[_Span]] = defaultdict(list)

    def innermost(self, key: int, name: str) -> _Span | None:
        """The one that was opened last, of a name if that is not empty."""
        return self._stacks[key, name][-1] if (key, name) in self._stacks else None

    def open(self, key: int, name: str, span: _Span) -> None:
        for which in {"", name}:
            self._stacks[key, which].append(span)

    def close(self, key: int, name: str, span: _Span) -> None:
        span.is_open = False
        for which in {"", name}:
            stack = self._stacks[key, which]
            while stack and not stack[-1].is_open:
                stack.pop()
            if not stack:
                del self._stacks[key, which]
