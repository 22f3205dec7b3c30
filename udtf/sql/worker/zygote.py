"""The process that workers are forked from: it has loaded everything, has one thread, and does nothing else.

It is told what to do over a socket, whose number is its argument, by numbers of four bytes: by 0, and a socket, to fork
a worker that serves that socket, which is answered by its process id; by such an id to bury that worker, which has been
killed. Until then nobody else can have its id. Where the socket ends, so does everything: workers, their files, and
this process.
"""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path

from udtf.sql.channel import Channel
from udtf.sql.processes import NUMBER
from udtf.sql.worker.loop import work


def main() -> None:
    """Serve the socket whose number is the first argument."""
    # Whoever stops the server from a terminal, or as a service, means the server. It stops us when it is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    workers: set[int] = set()
    with tempfile.TemporaryDirectory(prefix="flightsrv-") as folder:
        with contextlib.suppress(OSError):  # whoever spoke to us died in the middle of it
            _obey(socket.socket(fileno=int(sys.argv[1])), workers, Path(folder))
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _bury(pid, Path(folder))


def _obey(control: socket.socket, workers: set[int], folder: Path) -> None:
    """Do what is told, until nobody does any more; `workers` are those that have been forked and not buried."""
    while True:
        request, ends, _, _ = socket.recv_fds(control, NUMBER.size, 1)
        if not request:
            return
        (pid,) = NUMBER.unpack(request)
        if ends:
            pid = _fork(control, ends[0], folder)
            workers.add(pid)
            control.sendall(NUMBER.pack(pid))
        else:
            _bury(pid, folder)
            workers.discard(pid)


def _fork(control: socket.socket, end: int, folder: Path) -> int:
    """A new worker. Its temporary files are in a folder of its own."""
    pid = os.fork()
    if pid:
        os.close(end)
        return pid
    try:
        control.close()
        own_folder = folder / str(os.getpid())
        own_folder.mkdir()
        os.environ["TMPDIR"] = _nameless(own_folder)
        work(Channel(socket.socket(fileno=end)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _nameless(folder: Path) -> str:
    """A name of a folder, good in this process, that does not tell where it is: statements can read it among the
    settings of the engine, and in what it has to complain of. Its own name where the system has no other."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    name = f"/proc/self/fd/{descriptor}"
    return name if os.path.isdir(name) else str(folder)


def _bury(pid: int, folder: Path) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    shutil.rmtree(folder / str(pid), ignore_errors=True)


if __name__ == "__main__":
    main()
