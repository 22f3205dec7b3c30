"""From flow events to links: which span an arrow comes from, and which one it leads to.

A flow has a start, steps, and ends; each but the start is linked to the start or the step before it. Events of flows
are at a time of a thread, whose innermost span then is meant, or an instant where there is none; or at an async span.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from flightsrv.importers.chrome.arguments import NO_ARGUMENTS
from flightsrv.importers.chrome.async_spans import MarkedSpans
from flightsrv.importers.chrome.nesting import EventColumns, rows
from flightsrv.importers.chrome.texts import text_of
from udtf.lake.block_format import BEGIN

START, STEP, END, END_AT_NEXT = range(4)
"""What an event of a flow is. `END_AT_NEXT` is at the next span that begins in its thread."""

_NOWHERE = -1
_OUTSIDE = "they are in no span, and at no instant"
_NOTHING_FOLLOWS = "no span of their thread begins after them, and they are not bound to the one around them"
_WITHOUT_START = "their flow has not begun before them"
_STARTED = "their flow has begun already, and has not ended"
_DANGLING = "their flow goes nowhere"

_HEXADECIMAL = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}")
_BITS = 64

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FlowEvents:
    """Events of flows as they stand in the file, those of one thread or those at async spans.

    `events` are their places in the file; `groups` and `numbers` tell the flow; `marks` are those of async spans.
    """

    ticks: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: "array[int]" = field(default_factory=lambda: array("B"))
    groups: "array[int]" = field(default_factory=lambda: array("i"))
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    scopes: "array[int]" = field(default_factory=lambda: array("i"))
    arguments: "array[int]" = field(default_factory=lambda: array("i"))
    events: "array[int]" = field(default_factory=lambda: array("q"))
    marks: "array[int]" = field(default_factory=lambda: array("q"))

    def append(
        self, ticks: int, kind: int, flow: tuple[int, int], scope: int, arguments: int, event: int, mark: int = 0
    ) -> None:
        group, number = flow
        for column, value in zip(
            vars(self).values(), (ticks, kind, group, number, scope, arguments, event, mark), strict=True
        ):
            column.append(value)


class FlowIds:
    """Tells flows apart: by a group, which is all but the id, and a number, which is the id where that is one."""

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], int] = {}
        self._texts: dict[str, int] = {}

    def of_flow(self, event: dict[str, Any], pid: str) -> tuple[int, int] | None:
        """The flow of an event of the phases s, t and f: by name, category and id. None without an id."""
        key: tuple[object, ...] = text_of(event.get("cat")), text_of(event.get("name")), text_of(event.get("scope"))
        found = self._of(key, event.get("id"))
        id2 = event.get("id2")
        if found is None and isinstance(id2, dict):
            is_global = "global" in id2
            found = self._of((*key, None if is_global else pid), id2.get("global" if is_global else "local"))
        return found

    def of_binding(self, event: dict[str, Any]) -> tuple[int, int] | None:
        """The flow of any event with a `bind_id`; None if that is none."""
        return self._of((), event["bind_id"])

    def _of(self, key: tuple[object, ...], given: Any) -> tuple[int, int] | None:
        identity = _identity(given)
        if identity is None:
            return None
        if isinstance(identity, str):
            key, number = (*key, "text"), self._texts.setdefault(identity, len(self._texts))
        else:
            number = identity
        return self._groups.setdefault(key, len(self._groups)), number


def _identity(given: Any) -> int | str | None:
    """An id: text is a hexadecimal number, if it can be read as one of 64 bits."""
    if isinstance(given, Decimal) and given.is_finite() and given.adjusted() < _BITS and given == int(given):
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        return given % (1 << _BITS) if -(1 << _BITS - 1) <= given < 1 << _BITS else str(given)
    if isinstance(given, str) and given:
        return int(given, 16) if _HEXADECIMAL.fullmatch(given) else given
    return None


@dataclass(frozen=True)
class Place:
    """Where a link begins or ends: a stream of a process; one of a thread, with its properties, or else of async spans,
    without."""

    pid: str
    stream_name: str
    thread_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkColumns:
    """Links to spans of one place, by time."""

    ticks: Int64s
    scopes: npt.NDArray[np.int32]
    arguments: npt.NDArray[np.int32]
    span_ids: Int64s
    from_ticks: Int64s
    from_places: npt.NDArray[np.intp]
    from_span_ids: Int64s


class Flows:
    """Gathers the events of all flows of a file, with the spans that they are in, and links these.

    Args:
        leave_out: is told why an event has no part in a link, its place in the file, and its scope.
    """

    def __init__(self, leave_out: Callable[[str, int, int], None]) -> None:
        self.places: list[Place] = []
        self._leave_out = leave_out
        self._columns: list[list[npt.NDArray[Any]]] = []

    def add_thread(
        self, places: Sequence[Place], sequences: Sequence[EventColumns], events: FlowEvents, instants: Int64s
    ) -> None:
        """Take the events of a thread whose spans are these sequences, each with its place, and whose instants are at
        these times."""
        ticks, is_at_next = np.asarray(events.ticks), np.asarray(events.kinds) == END_AT_NEXT
        chosen = np.full(len(ticks), _NOWHERE)
        times, link_times, begins = ticks.copy(), ticks.copy(), np.zeros(len(ticks), np.int64)
        for number, sequence in enumerate(sequences):
            is_inside, inside_ticks, inside_begins = _inside(sequence, ticks)
            # Where two sequences have a span, that one is meant which began last.
            is_better = ~is_at_next & is_inside & ((chosen == _NOWHERE) | (inside_begins > begins))
            link_times[is_better], begins[is_better] = inside_ticks[is_better], inside_begins[is_better]
            chosen[is_better] = number
            nexts = _next_begins(sequence, ticks)
            is_better = is_at_next & (nexts >= ticks) & ((chosen == _NOWHERE) | (nexts < times))
            times[is_better] = link_times[is_better] = nexts[is_better]
            chosen[is_better] = number
        if places:
            chosen[(chosen == _NOWHERE) & ~is_at_next & np.isin(ticks, instants)] = 0
        self._add(events, times, link_times, np.zeros(len(ticks), np.int64), chosen, places)

    def add_async(self, places: Sequence[Place], events: FlowEvents, marked: MarkedSpans) -> None:
        """Take the events at async spans, given the place of each of their processes."""
        ticks, marks = np.asarray(events.ticks), np.asarray(events.marks)
        span_ids = marked.span_ids[marks]
        self._add(events, ticks, ticks, span_ids, np.where(span_ids == 0, _NOWHERE, marked.processes[marks]), places)

    def _add(
        self,
        events: FlowEvents,
        times: Int64s,
        link_times: Int64s,
        span_ids: Int64s,
        chosen: npt.NDArray[np.intp],
        places: Sequence[Place],
    ) -> None:
        """Keep those for which a place was chosen. `times` is their order, `link_times` is when links are."""
        kinds, scopes, orders = (np.asarray(column) for column in (events.kinds, events.scopes, events.events))
        for row in np.flatnonzero(chosen == _NOWHERE).tolist():
            reason = _NOTHING_FOLLOWS if kinds[row] == END_AT_NEXT else _OUTSIDE
            self._leave_out(reason, int(orders[row]), int(scopes[row]))
        kept = chosen != _NOWHERE
        columns = (
            *(times, link_times, span_ids, chosen + len(self.places)),
            *(kinds, np.asarray(events.groups), np.asarray(events.numbers)),
            *(scopes, np.asarray(events.arguments), orders),
        )
        self._columns = self._columns or [[] for _ in columns]
        for parts, column in zip(self._columns, columns, strict=True):
            parts.append(column[kept])
        self.places += places

    def links(self) -> Iterator[tuple[int, LinkColumns]]:
        """The links that end in each place. To be called once, at the end."""
        if not self._columns:
            return
        order = np.lexsort((np.concatenate(self._columns[-1]), np.concatenate(self._columns[0])))
        # One column after the other, so that few are there twice.
        _, times, span_ids, places, kinds, groups, numbers, scopes, arguments, orders = (
            _taken(parts, order) for parts in self._columns
        )
        befores, left_out = _befores(kinds, _flow_codes(groups, numbers))
        for reason, left in left_out:
            self._leave_out(reason, int(orders[left]), int(scopes[left]))
        del groups, numbers, orders
        ends = np.flatnonzero(befores != _NOWHERE)
        starts = befores[ends]
        # One nanosecond may be missing where a span was left for a time at which it is open.
        to_times = np.maximum(times[ends], times[starts])
        of_link = np.where(arguments[ends] == NO_ARGUMENTS, arguments[starts], arguments[ends])
        by_place = np.lexsort((to_times, places[ends]))
        bounds = np.flatnonzero(np.diff(places[ends][by_place], prepend=_NOWHERE, append=len(self.places)))
        for first, last in pairwise(bounds.tolist()):
            here = by_place[first:last]
            own, origins = ends[here], starts[here]
            yield (
                int(places[own[0]]),
                LinkColumns(
                    to_times[here],
                    scopes[own].astype(np.int32),
                    of_link[here].astype(np.int32),
                    span_ids[own],
                    times[origins],
                    places[origins],
                    span_ids[origins],
                ),
            )


def _taken(parts: list[npt.NDArray[Any]], order: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """The values of parts in an order; these are no longer there afterwards."""
    values = np.concatenate(parts)
    parts.clear()
    return values[order]


def _inside(sequence: EventColumns, times: Int64s) -> tuple[Bools, Int64s, Int64s]:
    """Of each time whether a span goes on then, which its end does too; a time at which the innermost of these is the
    innermost one, as it is not at its end; and when that begins."""
    ticks, is_begin = np.asarray(sequence.ticks), np.asarray(sequence.kinds) == BEGIN
    if not len(ticks):
        return np.zeros(len(times), np.bool_), times, times
    first, after = np.searchsorted(ticks, times, "left"), np.searchsorted(ticks, times, "right")
    begun = np.concatenate(([0], np.cumsum(is_begin)))
    has_begin = begun[after] > begun[first]
    has_end = after - first > begun[after] - begun[first]
    is_left = has_end & ~has_begin
    is_open = 2 * begun[after] > after
    innermost = ticks[_innermost(is_begin)][np.maximum(np.where(is_left, first, after) - 1, 0)]
    return has_begin | has_end | is_open, times - is_left, np.where(has_begin, times, innermost)


def _innermost(is_begin: Bools) -> npt.NDArray[np.intp]:
    """After each event of a sequence, the begin of the innermost span that is open; anything where none is."""
    depths = np.cumsum(np.where(is_begin, 1, -1))
    # Of events that leave the same number of spans open, the last that is a begin.
    order = np.argsort(depths, kind="stable")
    places = np.maximum.accumulate(np.where(is_begin[order], np.arange(len(order)), 0))
    innermost = np.empty(len(order), np.intp)
    innermost[order] = order[places]
    return innermost


def _next_begins(sequence: EventColumns, times: Int64s) -> Int64s:
    """When the next span begins, at the very time or later; before the time where none does."""
    begins = np.asarray(sequence.ticks)[np.asarray(sequence.kinds) == BEGIN]
    if not len(begins):
        return times - 1
    places = np.searchsorted(begins, times, "left")
    return np.where(places < len(begins), begins[np.minimum(places, len(begins) - 1)], times - 1)


def _flow_codes(groups: npt.NDArray[np.int32], numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """A number for each flow, from 0 on."""
    order = np.lexsort((numbers, groups))
    is_new = (np.diff(groups[order], prepend=-1) != 0) | np.concatenate(
        ([True], numbers[order][1:] != numbers[order][:-1])
    )[: len(order)]
    codes = np.empty(len(order), np.intp)
    codes[order] = np.cumsum(is_new) - 1
    return codes


def _befores(kinds: npt.NDArray[np.uint8], flows: npt.NDArray[np.intp]) -> tuple[Int64s, list[tuple[str, int]]]:
    """Of each event, in order, the one that it is linked to, or `_NOWHERE`; and which ones are in no link, and why."""
    nb_flows = int(flows.max(initial=-1)) + 1
    latest, has_ended = [_NOWHERE] * nb_flows, bytearray(nb_flows)
    befores = np.full(len(kinds), _NOWHERE)
    left_out: list[tuple[str, int]] = []
    for row, (kind, flow) in enumerate(rows(kinds, flows)):
        before = latest[flow]
        if kind == START:
            if before != _NOWHERE and not has_ended[flow]:
                left_out.append((_STARTED, row))
                continue
            latest[flow], has_ended[flow] = row, False
        elif before == _NOWHERE:
            left_out.append((_WITHOUT_START, row))
        else:
            befores[row] = before
            if kind == STEP:
                latest[flow] = row
            else:
                has_ended[flow] = True
    is_used = np.zeros(len(kinds), np.bool_)
    is_used[befores[befores != _NOWHERE]] = True
    is_used[[row for _, row in left_out]] = True
    left_out += ((_DANGLING, row) for row in np.flatnonzero((kinds == START) & ~is_used).tolist())
    return befores, left_out
