"""From spans in any order to sequences of begin and end events that match as parentheses."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from udtf.lake.block_format import BEGIN, END

UNFINISHED = (1 << 63) - 1
"""Stands for the end of a span that has none; later than every time that can be recorded."""


@dataclass(frozen=True)
class EventColumns:
    """Events that are being collected, one entry an event in each column."""

    ticks: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: "array[int]" = field(default_factory=lambda: array("B"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, ticks: int, kind: int, scope: int) -> None:
        self.ticks.append(ticks)
        self.kinds.append(kind)
        self.scopes.append(scope)

    def in_time_order(self) -> Iterator[tuple[int, int, int]]:
        """(ticks, kind, scope) by time, those of one time as they were appended."""
        order = np.argsort(self.ticks, kind="stable")
        columns = (np.asarray(column)[order].tolist() for column in (self.ticks, self.kinds, self.scopes))
        return zip(*columns, strict=True)


@dataclass(frozen=True)
class SpanColumns:
    """Spans that are being collected; an end may be UNFINISHED."""

    begins: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, begin: int, end: int, scope: int) -> None:
        self.begins.append(begin)
        self.ends.append(end)
        self.scopes.append(scope)


def match_marks(marks: EventColumns) -> tuple[EventColumns, int]:
    """Begins and ends by time, each end closing the span that was opened last.

    Returns the events, and the number of ends left out because nothing was open.
    """
    matched = EventColumns()
    open_scopes: list[int] = []
    unmatched_ends = 0
    for ticks, kind, scope in marks.in_time_order():
        if kind == BEGIN:
            open_scopes.append(scope)
            matched.append(ticks, BEGIN, scope)
        elif open_scopes:
            matched.append(ticks, END, open_scopes.pop())
        else:
            unmatched_ends += 1
    return matched, unmatched_ends


def add_matched(spans: SpanColumns, matched: EventColumns) -> None:
    """Add the spans that matched begins and ends mean, in the order of their begins."""
    open_spans: list[int] = []
    for ticks, kind, scope in zip(matched.ticks, matched.kinds, matched.scopes, strict=True):
        if kind == BEGIN:
            open_spans.append(len(spans.ends))
            spans.append(ticks, UNFINISHED, scope)
        else:
            spans.ends[open_spans.pop()] = ticks


def nest(spans: SpanColumns) -> list[EventColumns]:
    """Spans as sequences of events; all in the first one when no two of them overlap in part.

    Spans go by begin, then the longer first, then in the order given. One that begins when another ends follows
    it. One that begins inside of another belongs to it, unless it ends later: then it goes to the next sequence
    that has room for it.
    """
    begins, ends, scopes = (np.asarray(column) for column in (spans.begins, spans.ends, spans.scopes))
    order: npt.NDArray[np.intp] = np.lexsort((-ends, begins))
    lanes = [_Lane()]
    for begin, end, scope in zip(begins[order].tolist(), ends[order].tolist(), scopes[order].tolist(), strict=True):
        for lane in lanes:
            if lane.take(begin, end, scope):
                break
        else:
            lanes.append(_Lane())
            lanes[-1].take(begin, end, scope)
    return [lane.finish() for lane in lanes]


class _Lane:
    """A sequence in the making, with the spans that are open at its end, outermost first."""

    def __init__(self) -> None:
        self._events = EventColumns()
        self._open: list[tuple[int, int]] = []

    def take(self, begin: int, end: int, scope: int) -> bool:
        """Append a span that begins no earlier than those before; false when it would overlap one in part."""
        self._close_until(begin)
        if self._open and end > self._open[-1][0]:
            return False
        self._open.append((end, scope))
        self._events.append(begin, BEGIN, scope)
        return True

    def finish(self) -> EventColumns:
        self._close_until(UNFINISHED - 1)
        return self._events

    def _close_until(self, time: int) -> None:
        while self._open and self._open[-1][0] <= time:
            end, scope = self._open.pop()
            self._events.append(end, END, scope)
