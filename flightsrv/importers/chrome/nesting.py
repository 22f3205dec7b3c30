"""From spans in any order to sequences of begin and end events that match as parentheses."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flightsrv.importers.chrome.arguments import NO_ARGUMENTS
from udtf.lake.block_format import BEGIN, END, Scope

_ROWS_AT_ONCE = 8192
UNFINISHED = (1 << 63) - 1
"""Stands for the end of a span that has none; later than every time that can be recorded."""


@dataclass(frozen=True)
class EventColumns:
    """Events that are being collected, one entry an event in each column."""

    ticks: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: "array[int]" = field(default_factory=lambda: array("B"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))
    arguments: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, ticks: int, kind: int, scope: int, arguments: int) -> None:
        self.ticks.append(ticks)
        self.kinds.append(kind)
        self.scopes.append(scope)
        self.arguments.append(arguments)

    def in_time_order(self) -> Iterator[tuple[int, ...]]:
        """(ticks, kind, scope, arguments) by time, those of one time as they were appended."""
        order = np.argsort(self.ticks, kind="stable")
        return rows(*(np.asarray(column)[order] for column in (self.ticks, self.kinds, self.scopes, self.arguments)))


@dataclass(frozen=True)
class SpanColumns:
    """Spans that are being collected; an end may be UNFINISHED. Arguments may be of the begin and of the end."""

    begins: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))
    arguments: "array[int]" = field(default_factory=lambda: array("i"))
    end_arguments: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, begin: int, end: int, scope: int, arguments: int) -> None:
        self.begins.append(begin)
        self.ends.append(end)
        self.scopes.append(scope)
        self.arguments.append(arguments)
        self.end_arguments.append(NO_ARGUMENTS)


@dataclass(frozen=True)
class Matched:
    """Events that match as parentheses, and how the ends came about.

    `unmatched_ends` closed nothing and are left out; `ended_early` spans had no end of their own when one around them
    ended, and end with it.
    """

    events: EventColumns
    unmatched_ends: int
    ended_early: int


def match_marks(marks: EventColumns, scopes: Sequence[Scope]) -> Matched:
    """Begins and ends by time. An end closes the innermost open span that it fits, and what is open inside of it.

    It fits spans of its name and of its target, or all if it has none. One that fits no open span closes nothing.
    """
    matched = EventColumns()
    open_scopes: list[int] = []
    open_names: Counter[str] = Counter()
    unmatched_ends = ended_early = 0
    for ticks, kind, scope, arguments in marks.in_time_order():
        name, target = scopes[scope][:2]
        if kind == BEGIN:
            open_scopes.append(scope)
            open_names[name] += 1
            matched.append(ticks, BEGIN, scope, arguments)
            continue
        place = len(open_scopes) - 1 if not name or open_names[name] else -1
        while place >= 0 and not _fits(name, target, scopes[open_scopes[place]]):
            place -= 1
        if place < 0:
            unmatched_ends += 1
            continue
        ended_early += len(open_scopes) - place - 1
        while len(open_scopes) > place:
            ended = open_scopes.pop()
            open_names[scopes[ended].name] -= 1
            is_own = len(open_scopes) == place
            matched.append(ticks, END, ended, arguments if is_own else NO_ARGUMENTS)
    return Matched(matched, unmatched_ends, ended_early)


def _fits(name: str, target: str, scope: Scope) -> bool:
    return name in ("", scope.name) and target in ("", scope.target)


def add_matched(spans: SpanColumns, matched: EventColumns) -> None:
    """Add the spans that matched begins and ends mean, in the order of their begins."""
    open_spans: list[int] = []
    columns = (matched.ticks, matched.kinds, matched.scopes, matched.arguments)
    for ticks, kind, scope, arguments in zip(*columns, strict=True):
        if kind == BEGIN:
            open_spans.append(len(spans.ends))
            spans.append(ticks, UNFINISHED, scope, arguments)
        else:
            ended = open_spans.pop()
            spans.ends[ended] = ticks
            spans.end_arguments[ended] = arguments


def nest(spans: SpanColumns) -> list[EventColumns]:
    """Spans as sequences of events; all in the first one when no two of them overlap in part.

    Spans go by begin, then the longer first, then in the order given. One that begins when another ends follows
    it. One that begins inside of another belongs to it, unless it ends later: then it goes to the next sequence
    that has room for it.
    """
    columns = [np.asarray(column) for column in vars(spans).values()]
    begins, ends, *_ = columns
    order: npt.NDArray[np.intp] = np.lexsort((-ends, begins))
    lanes = [_Lane()]
    for span in rows(*(column[order] for column in columns)):
        for lane in lanes:
            if lane.take(*span):
                break
        else:
            lanes.append(_Lane())
            lanes[-1].take(*span)
    return [lane.finish() for lane in lanes]


def rows(*columns: npt.NDArray[Any]) -> Iterator[tuple[int, ...]]:
    """The rows of columns as plain integers, of which only some thousands exist at once."""
    for start in range(0, len(columns[0]), _ROWS_AT_ONCE):
        yield from zip(*(column[start : start + _ROWS_AT_ONCE].tolist() for column in columns), strict=True)


class _Lane:
    """A sequence in the making, with the spans that are open at its end, outermost first."""

    def __init__(self) -> None:
        self._events = EventColumns()
        self._open: list[tuple[int, int, int]] = []

    def take(self, begin: int, end: int, scope: int, arguments: int, end_arguments: int) -> bool:
        """Append a span that begins no earlier than those before; false when it would overlap one in part."""
        self._close_until(begin)
        if self._open and end > self._open[-1][0]:
            return False
        self._open.append((end, scope, end_arguments))
        self._events.append(begin, BEGIN, scope, arguments)
        return True

    def finish(self) -> EventColumns:
        self._close_until(UNFINISHED - 1)
        return self._events

    def _close_until(self, time: int) -> None:
        while self._open and self._open[-1][0] <= time:
            end, scope, arguments = self._open.pop()
            self._events.append(end, END, scope, arguments)
