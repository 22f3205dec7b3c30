"""How the thread that sends shares the interpreter with the threads of the program.

A thread that computes keeps the interpreter for five milliseconds once it has it, and a thread that serves requests
loses it with every call of the system. So while much is encoded, each of its calls would take that long. Here the one
that encodes lets go after a fraction of a millisecond. It takes as much of the time as the others do, so that it keeps
up with threads that compute and record all the time.
"""

import time

_WORK_S = 0.25e-3
_PAUSE_S = 0.1e-3
"""Long enough that a thread which waits for the interpreter gets it."""


class Pace:
    """The pace of one thread, which calls `keep` every now and then."""

    def __init__(self) -> None:
        self._next_pause_s = 0.0

    def keep(self) -> None:
        """Let others run, if it is time. What they took longer than a pause is what the next piece of work may take."""
        begin_s = time.perf_counter()
        if begin_s < self._next_pause_s:
            return
        time.sleep(_PAUSE_S)
        end_s = time.perf_counter()
        self._next_pause_s = end_s + max(_WORK_S, end_s - begin_s)
