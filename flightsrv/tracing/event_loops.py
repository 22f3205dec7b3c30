"""How late the event loops of asyncio are, each as a counter of the thread that it runs on.

asyncio has no list of the loops that run: only the thread of a loop can ask for it. So the thread that sends looks
through the stacks of all threads (`sys._current_frames`) for the method that runs a loop. That finds loops of any age,
changes nothing in asyncio, and is not done in programs that have not imported it. Each loop is given a callback, which
records how late it is. Loops are held weakly, and forgotten when they have stopped.
"""

import sys
import time
import weakref
from types import CodeType, FrameType
from typing import Any

from flightsrv.tracing.buffers import MeasureBuffer
from flightsrv.tracing.recorder import Recorder, active
from flightsrv.tracing.scopes import Scope

LAG, LAG_UNIT = "thread.event_loop_lag", "ms"

MAX_FRAMES = 20_000
"""Most that are looked at in one go, a few milliseconds of the interpreter. Loops beyond them are not found."""


class EventLoops:
    """Watches the loops of this process, for the sender's thread.

    Args:
        is_forked: whether the process has just been forked. A loop on the thread that did it does not run here, as far
            as asyncio is concerned, and a callback for it would wake that of the parent.
    """

    def __init__(self, recorder: Recorder, is_forked: bool) -> None:
        self._recorder = recorder
        self._watched: dict[int, _Watched] = {}
        """By the identity of the loop."""
        self._inherited = [weakref.ref(loop) for loop in _running_loops()] if is_forked else []

    def read(self) -> None:
        """Record of each loop how late it is: soon, by a callback, or now, if one has not been run since the last
        time."""
        for loop in _running_loops():
            watched = self._watched.get(id(loop))
            is_inherited = any(inherited() is loop for inherited in self._inherited)
            if not is_inherited and (watched is None or not watched.is_of(loop)):
                self._watched[id(loop)] = _Watched(loop, self._recorder)
        for identity, watched in list(self._watched.items()):
            if not watched.read():
                del self._watched[identity]

    def forget(self) -> None:
        """Let callbacks that have not been run do nothing."""
        for watched in self._watched.values():
            watched.is_forgotten = True
        self._watched.clear()


class _Watched:
    """A loop, and its callback."""

    def __init__(self, loop: Any, recorder: Recorder) -> None:
        self.is_forgotten = False
        self._loop = weakref.ref(loop)
        self._recorder = recorder
        self._code = recorder.scopes.code_of(Scope(LAG, __name__, "", 0))
        self._values: MeasureBuffer | None = None
        """Of the thread that ran the last callback."""
        self._due_ns = 0
        """Since when a callback has been waiting; 0: there is none."""

    def is_of(self, loop: object) -> bool:
        """Whether it is this loop, rather than one that had its place in memory before."""
        return self._loop() is loop

    def read(self) -> bool:
        """See `EventLoops.read`; returns whether the loop runs, and is not to be forgotten."""
        # Loops are of any make, and may be closed at any moment.
        try:
            loop, due_ns = self._loop(), self._due_ns
            if loop is None or not loop.is_running():
                self.is_forgotten = True
            elif not due_ns:
                self._due_ns = time.perf_counter_ns()
                loop.call_soon_threadsafe(self._run)
            elif self._values is not None:
                self._record(self._values, due_ns)
        except Exception:
            self.is_forgotten = True
        return not self.is_forgotten

    def _run(self) -> None:
        """In the thread of the loop."""
        due_ns, self._due_ns = self._due_ns, 0
        if self.is_forgotten or active() is not self._recorder:
            return
        values = self._recorder.threads.values
        if isinstance(values, MeasureBuffer):
            self._values = values
            self._record(values, due_ns)

    def _record(self, values: MeasureBuffer, due_ns: int) -> None:
        values.add(self._code, LAG_UNIT, (time.perf_counter_ns() - due_ns) / 1e6)


def _running_loops() -> list[Any]:
    """The loops that are on the stacks of the threads now."""
    run_forever, run = _code("asyncio.base_events", "BaseEventLoop.run_forever"), _code("asyncio.runners", "Runner.run")
    loops: list[Any] = []
    if run_forever is None:
        return loops
    nb_frames = 0
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None and nb_frames < MAX_FRAMES:
            nb_frames += 1
            if frame.f_code is run_forever:
                loops.append(frame.f_locals.get("self"))
                break
            if frame.f_code is run:
                # Of a loop whose own methods are on no stack, as those of uvloop.
                loops.append(getattr(frame.f_locals.get("self"), "_loop", None))
                break
            frame = frame.f_back
    return [loop for loop in loops if loop is not None]


def _code(module: str, name: str) -> CodeType | None:
    """The code of a function, if its module has been imported."""
    found: Any = sys.modules.get(module)
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    code = getattr(found, "__code__", None)
    return code if isinstance(code, CodeType) else None
