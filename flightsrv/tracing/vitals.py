"""Vital signs of the process, as counters: what it takes of the machine, and what the interpreter does with it."""

import gc
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from flightsrv.tracing.event_loops import EventLoops
from flightsrv.tracing.recorder import Recorder
from flightsrv.tracing.scopes import Scope

CPU, MEMORY, THREADS, GC_PAUSE = "process.cpu", "process.resident_memory", "process.threads", "process.gc_pause"
UNITS = {CPU: "%", MEMORY: "bytes", THREADS: "", GC_PAUSE: "ms"}
"""Of each counter; of processor time 100 is all of one core, pauses are the sum since the value before."""

_THREADS_FIELD = 17
"""In `/proc/self/stat`, behind the name of the program."""


class Vitals:
    """Reads the vital signs once in an interval, for the sender's thread, from the standard library and `/proc`; what
    the system does not tell is left out. `is_forked` says whether the process has just been forked."""

    def __init__(self, recorder: Recorder, every_s: float, is_forked: bool) -> None:
        self._recorder = recorder
        self._every_s = every_s
        self._loops = EventLoops(recorder, is_forked)
        self._gc_begin_ns = self._gc_ns = 0
        self._is_watching = False

    def begin(self) -> None:
        """Read for the first time an interval from now."""
        self._time_ns, self._cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        self._next_s = time.monotonic() + self._every_s
        self._is_watching = True
        gc.callbacks.append(self._watch_gc)

    def end(self) -> None:
        """Read no more; harmless when repeated."""
        self._is_watching = False
        self._loops.forget()
        with suppress(ValueError):
            gc.callbacks.remove(self._watch_gc)

    def wait_s(self) -> float:
        """Seconds until it is time to read again."""
        return max(0.0, self._next_s - time.monotonic()) if self._is_watching else self._every_s

    def read_if_due(self) -> None:
        """Record all signs, if it is time."""
        if not self._is_watching or self.wait_s():
            return
        self._next_s = time.monotonic() + self._every_s
        values = self._recorder.values
        for name, value in self._signs().items():
            values.add(self._recorder.scopes.code_of(Scope(name, __name__, "", 0)), UNITS[name], value)
        self._loops.read()

    def _signs(self) -> Mapping[str, float]:
        time_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        signs = {CPU: 100 * (cpu_ns - self._cpu_ns) / max(1, time_ns - self._time_ns)}
        self._time_ns, self._cpu_ns = time_ns, cpu_ns
        gc_ns, self._gc_ns = self._gc_ns, 0
        signs[GC_PAUSE] = gc_ns / 1e6
        signs[THREADS] = float(threading.active_count())
        with suppress(OSError, ValueError, IndexError):
            with open("/proc/self/statm", "rb") as file:
                signs[MEMORY] = float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            with open("/proc/self/stat", "rb") as file:
                # With those that Python did not start.
                signs[THREADS] = float(file.read().rpartition(b")")[2].split()[_THREADS_FIELD])
        return signs

    def _watch_gc(self, phase: str, info: object) -> None:
        if phase == "start":
            self._gc_begin_ns = time.perf_counter_ns()
        elif self._gc_begin_ns:
            self._gc_ns += time.perf_counter_ns() - self._gc_begin_ns
            self._gc_begin_ns = 0
