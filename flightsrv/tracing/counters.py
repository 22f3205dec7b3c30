"""Counters: values that a process has from one moment to the next."""

import math
import sys

from flightsrv.tracing.recorder import Recorder, active
from flightsrv.tracing.scopes import Scope, cut, sendable


class Counter:
    """Records the values of one counter of the process, from whatever thread. `counter` makes it."""

    __slots__ = ("_known", "_scope", "_unit")

    def __init__(self, scope: Scope, unit: str) -> None:
        self._scope = scope
        self._unit = unit
        self._known: tuple[Recorder | None, int] = (None, 0)

    def set(self, value: float) -> None:
        """The counter has this value from now on. What is no number, NaN included, is dropped, and counted."""
        recorder = active()
        if recorder is None:
            return
        known, code = self._known
        if known is not recorder:
            code = recorder.scopes.code_of(self._scope)
            self._known = recorder, code
        number = value if type(value) is float else _number(value)
        if number != number:
            recorder.values.dropped += 1
        else:
            recorder.values.add(code, self._unit, number)


def _number(value: object) -> float:
    """A number of any class as a float; NaN if it is none, or too large."""
    # Nothing else is caught of integers: what a signal handler raises meanwhile is the program's.
    failures = OverflowError if isinstance(value, int) else Exception
    try:
        return float(value)  # type: ignore[arg-type]
    except failures:
        return math.nan


def counter(name: str, unit: str = "") -> Counter:
    """A counter of the process: `queued = counter("queued", "jobs")`, then `queued.set(7)`.

    Those of the same name and unit are one, wherever they are made.
    """
    frame = sys._getframe(1)
    target, filename = sendable(frame.f_globals.get("__name__", "")), sendable(frame.f_code.co_filename)
    return Counter(Scope(cut(sendable(name)), target, filename, frame.f_lineno or 0), cut(sendable(unit)))
