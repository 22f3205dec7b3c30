"""Waiting until the process is told to stop."""

import signal
import socket


class StopSignals:
    """From here on SIGTERM and SIGINT are kept for `wait`; to be made in the main thread.

    Each writes a byte into a socket, and `wait` reads it. An event that a handler sets would not do: a signal that
    arrives when the main thread is about to block runs no handler before that thread wakes up, and one that arrives
    while it holds the lock of the event blocks it for ever.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def wait(self) -> None:
        """Return once there was a signal, now or before."""
        self._reader.recv(1)
