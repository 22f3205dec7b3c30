"""Processes for workers, forked from one that has everything loaded (`zygote`).

A process takes some milliseconds so; to load everything anew would take half a second. Python's own
`multiprocessing.forkserver` would do, but for running the main program of its user once more.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from functools import cache
from threading import Lock

from udtf.errors import Overloaded
from udtf.workers.channel import Channel

NUMBER = struct.Struct("<i")
"""What is said to a zygote, and what it answers."""

NO_PROCESS = -1

FAILED = 1
"""Exit code of a worker that could not begin, or broke off by itself."""

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
"""Signals by which a process ends for what it does itself."""

_INHERITED = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    "NUMBA_CACHE_DIR",  # where this process has found its kernels compiled
)
"""All that a worker has of the environment of this process, which may hold keys and passwords."""

_ENVIRONMENT = {
    # A scan that waits for its rows holds one of DataFusion's threads, which are as many as cores otherwise.
    "TOKIO_WORKER_THREADS": "16",
    # Threads do not survive a fork, and no matrices are multiplied here.
    "OPENBLAS_NUM_THREADS": "1",
}


class Process:
    """A worker's process, with a channel to it."""

    def __init__(self, zygote: "_Zygote", pid: int, channel: Channel) -> None:
        self._zygote = zygote
        self.pid = pid
        self.channel = channel
        self._lock = Lock()
        self._is_reaped = False
        self._exit_code: int | None = None

    @property
    def has_crashed(self) -> bool:
        """Whether it ended for what it did itself, by a stack without room for instance; otherwise it was ended from
        outside, or could not begin. To be asked once it is reaped."""
        return self._exit_code is not None and -self._exit_code in _CRASHES

    @property
    def is_orphaned(self) -> bool:
        """Whether the process that it was forked from has ended: it does as well, at once or in a moment."""
        return not self._zygote.is_alive

    def kill(self) -> None:
        """End it at once, whatever it does. Its channel stays open, without a peer."""
        with self._lock:
            if not self._is_reaped and not self.is_orphaned:
                # It may have ended by itself, but its id is not given away before it is reaped. (An orphaned one may
                # be reaped by init; but then it ends by itself.)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Kill it, and have its temporary files removed."""
        self.kill()
        with self._lock:
            if not self._is_reaped:
                self._is_reaped = True
                self._exit_code = self._zygote.reap(self.pid)
                self.channel.close()


class _Zygote:
    """A process to fork from. It ends with this one, however that ends, and everything forked from it."""

    def __init__(self, function: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Not for what happens to lie in the current folder (-P); and it finds what we have found.
            found = os.pathsep.join(path for path in sys.path if path)
            inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "udtf.workers.zygote", str(theirs.fileno()), function],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**inherited, **_ENVIRONMENT, "PYTHONPATH": found},
                pass_fds=[theirs.fileno()],
            )
        self._control = ours
        self._lock = Lock()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> Process:
        """A new worker's process; raises OSError if this one has died, and as `new_process`."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            socket.send_fds(self._control, [NUMBER.pack(0)], [theirs.fileno()])
            answer = self._control.recv(NUMBER.size)
        if not answer:
            ours.close()
            raise BrokenPipeError("the process that workers are forked from has ended")
        (pid,) = NUMBER.unpack(answer)
        if pid == NO_PROCESS:
            ours.close()
            raise Overloaded("the system gives no more processes for statements; try again in a moment")
        return Process(self, pid, Channel(ours))

    def reap(self, pid: int) -> int | None:
        """The exit code of a worker that is dead by now; None if this process has died as well."""
        with contextlib.suppress(OSError), self._lock:
            self._control.sendall(NUMBER.pack(pid))
            answer = self._control.recv(NUMBER.size)
            return int(NUMBER.unpack(answer)[0]) if answer else None
        return None


class _Shared:
    """The zygote of this process for one function, started when it is needed first, and again if it has died."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._lock = Lock()
        self._zygote: _Zygote | None = None

    def fork(self) -> Process:
        with self._lock:
            if self._zygote is not None:
                with contextlib.suppress(OSError):
                    return self._zygote.fork()
            self._zygote = _Zygote(self._function)
            return self._zygote.fork()


_shared = cache(_Shared)


def new_process(function: str) -> Process:
    """A process for a worker, which calls a function with its end of the channel.

    Args:
        function: `module:function`. The module is loaded once, by the process to fork from.

    Raises:
        Overloaded: the system gives no more processes.
        OSError: nor one to fork them from.
    """
    return _shared(function).fork()
