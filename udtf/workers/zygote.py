"""The process that workers are forked from: it has loaded what they need, has one thread, and does nothing else.

Its arguments are the number of a socket, and the name of the function that a worker calls with its channel, as
`module:function`. It is told what to do over the socket, by numbers of four bytes: by 0, and a socket, to fork
a worker that serves that socket, which is answered by its process id, or -1 if there can be none; by such an id to reap
that worker, which has been killed or has died, which is answered by how it ended (`os.waitstatus_to_exitcode`). Until
then no other process can have its id. Where the socket ends, so does everything:
workers, their files, and this process. Where this process is killed, so are its workers; the next one removes their
files.
"""

import contextlib
import ctypes
import fcntl
import importlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from udtf.execution.imports import without_pandas
from udtf.workers.channel import Channel
from udtf.workers.processes import FAILED, NO_PROCESS, NUMBER

_PREFIX = "flightsrv-workers-"
_PR_SET_PDEATHSIG = 1
"""Of Linux; see prctl(2)."""


def main() -> None:
    """See the module."""
    without_pandas()
    # A signal from a terminal or a service manager is for the server, which stops this process when it is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    workers: set[int] = set()
    folder = own_folder()
    with contextlib.suppress(OSError):  # the server died in the middle of a request
        _serve(socket.socket(fileno=int(sys.argv[1])), _function(sys.argv[2]), workers, folder)
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _reap(pid, folder)
    shutil.rmtree(folder, ignore_errors=True)


def own_folder() -> Path:
    """A new folder for temporary files, locked as long as this process lives, or one that is forked from it.

    Folders without a lock are removed: their processes were killed.
    """
    for left in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            lock = _lock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Another one may have found it before it was locked.
        with contextlib.suppress(FileNotFoundError):
            _lock(folder, fcntl.LOCK_EX)
            if folder.exists():
                return folder


def _lock(folder: Path, operation: int) -> int:
    """Raises OSError where there is no such folder, or another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _function(name: str) -> Callable[[Channel], None]:
    module, _, function = name.partition(":")
    found: Callable[[Channel], None] = getattr(importlib.import_module(module), function)
    return found


def _serve(control: socket.socket, work: Callable[[Channel], None], workers: set[int], folder: Path) -> None:
    """Answer requests until the socket is closed; `workers` are those that have been forked and not reaped."""
    while True:
        request, ends, _, _ = socket.recv_fds(control, NUMBER.size, 1)
        if not request:
            return
        (pid,) = NUMBER.unpack(request)
        if pid == 0:
            # Where this process has no room for one more file, the socket has not come.
            pid = _fork(control, ends[0], work, folder) if ends else NO_PROCESS
            if pid != NO_PROCESS:
                workers.add(pid)
            control.sendall(NUMBER.pack(pid))
        else:
            control.sendall(NUMBER.pack(_reap(pid, folder)))
            workers.discard(pid)


def _fork(control: socket.socket, end: int, work: Callable[[Channel], None], folder: Path) -> int:
    """A new worker, if the system gives one more process. Its temporary files are in a folder of its own."""
    parent_pid = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        pid = NO_PROCESS
    if pid:
        os.close(end)
        return pid
    try:
        _end_with(parent_pid)
        control.close()
        own_folder = folder / str(os.getpid())
        own_folder.mkdir()
        os.environ["TMPDIR"] = _nameless(own_folder)
        work(Channel(socket.socket(fileno=end)))
    except BaseException:
        traceback.print_exc()
        os._exit(FAILED)
    os._exit(0)


def _end_with(parent_pid: int) -> None:
    """Have this process killed when its parent ends, however that ends; what it computes cannot be interrupted."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def _nameless(folder: Path) -> str:
    """A name of a folder, good in this process, that does not tell where it is: statements can read it among the
    settings of the engine, and in what it has to complain of. Its own name where the system has no other."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    name = f"/proc/self/fd/{descriptor}"
    return name if os.path.isdir(name) else str(folder)


def _reap(pid: int, folder: Path) -> int:
    exit_code = FAILED
    with contextlib.suppress(ChildProcessError):
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shutil.rmtree(folder / str(pid), ignore_errors=True)
    return exit_code


if __name__ == "__main__":
    main()
