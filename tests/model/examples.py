"""Small telemetry by hand, for tests that are about something else than the shape of a tree."""

import uuid
from collections.abc import Sequence
from itertools import count

from tests.model.strategies import START_TIME_NS
from tests.model.telemetry import BEGIN, END, Event, Process, Scope, Stream

_thread_ids = count(1)


def scope(name: str) -> Scope:
    return Scope(name, "app", "app.py", 10)


def begin(ticks: int, name: str = "f") -> Event:
    return Event(ticks, BEGIN, scope(name))


def end(ticks: int, name: str = "f") -> Event:
    return Event(ticks, END, scope(name))


def task_begin(ticks: int, span_id: int, parent: int = 0, depth: int = 0, name: str = "task") -> Event:
    return Event(ticks, BEGIN, scope(name), span_id, parent, depth)


def task_end(ticks: int, span_id: int, parent: int = 0, depth: int = 0, name: str = "task") -> Event:
    return Event(ticks, END, scope(name), span_id, parent, depth)


def calls(number: int, first_ticks: int = 0) -> tuple[Event, ...]:
    """So many calls one after the other, each of 10 ns, one every 20 ns, with one callee of 4 ns each."""
    return tuple(
        event
        for at in range(first_ticks, first_ticks + 20 * number, 20)
        for event in (begin(at), begin(at + 3, "g"), end(at + 7, "g"), end(at + 10))
    )


def thread(*events: Event, name: str = "main") -> Stream:
    return Stream(str(uuid.uuid4()), False, name, next(_thread_ids), events)


def tasks(*events: Event) -> Stream:
    return Stream(str(uuid.uuid4()), True, "async", next(_thread_ids), events)


def process(*streams: Stream, tsc_frequency: int = 10**9, exe: str = "model") -> Process:
    """A process whose ticks count from its start."""
    return Process(str(uuid.uuid4()), tsc_frequency, START_TIME_NS, 0, tuple(streams), exe)


def at(ticks: int) -> int:
    """Nanoseconds of a tick of `process(...)` with its default clock."""
    return START_TIME_NS + ticks


def names(streams: Sequence[Stream]) -> list[str]:
    return [stream.thread_name for stream in streams]
