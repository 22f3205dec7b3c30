"""A socket that carries messages, and other sockets, between this process and a worker.

A message is a few parts, each some bytes. What is in them is for both ends to know; nothing here is executed, and no
more is read than the receiver asked for: a worker may send anything.
"""

import contextlib
import select
import socket
import struct
from collections.abc import Callable

import pyarrow as pa

_NUMBER = struct.Struct("<I")
_SIZE = struct.Struct("<Q")

MAX_PARTS = 1024

WAIT_SECONDS = 0.05


class MalformedMessage(Exception):
    """The other end sent what is no message, or a larger one than it may."""


class Channel:
    """One end of it. Each direction is for one thread at a time.

    Where the other end is gone, to receive raises EOFError, and to send OSError.

    Args:
        check: called now and then while the other end is waited for in the middle of a message; what it raises ends
            the wait.
    """

    def __init__(self, end: socket.socket, check: Callable[[], None] = lambda: None) -> None:
        self._end = end
        self.check = check
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(end, select.POLLOUT)

    def send(self, *parts: bytes | pa.Buffer) -> None:
        """Send a message."""
        head = _NUMBER.pack(len(parts)) + b"".join(_SIZE.pack(len(part)) for part in parts)
        for data in (head, *parts):
            rest = memoryview(data)
            while rest:
                rest = rest[self._send_some(rest) :]

    def receive(self, max_bytes: int) -> list[pa.Buffer]:
        """Wait for a message.

        Raises:
            MalformedMessage: its parts have more than `max_bytes` bytes, or are too many.
        """
        (nb_parts,) = _NUMBER.unpack(self._receive(_NUMBER.size))
        if nb_parts > MAX_PARTS:
            raise MalformedMessage(f"a message of {nb_parts} parts, expected at most {MAX_PARTS}")
        sizes_bytes = struct.unpack(f"<{nb_parts}Q", self._receive(nb_parts * _SIZE.size))
        if sum(sizes_bytes) > max_bytes:
            raise MalformedMessage(f"a message of {sum(sizes_bytes)} bytes, expected at most {max_bytes}")
        return [self._receive(size_bytes) for size_bytes in sizes_bytes]

    def send_socket(self, other: socket.socket) -> None:
        """Hand a socket over."""
        socket.send_fds(self._end, [b"s"], [other.fileno()])

    def receive_socket(self) -> socket.socket:
        """Take a socket over, from an end that is trusted."""
        _, fds, _, _ = socket.recv_fds(self._end, 1, 1)
        if not fds:
            raise EOFError
        return socket.socket(fileno=fds[0])

    def poll(self, timeout_s: float) -> bool:
        """Wait until there is something to receive, or the other end is gone; False if neither came in time."""
        return bool(self._readable.poll(timeout_s * 1000))

    def hang_up(self) -> None:
        """End all waits at either end, also of other threads."""
        with contextlib.suppress(OSError):  # it has ended
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._end.close()

    def _send_some(self, data: memoryview) -> int:
        while True:
            try:
                return self._end.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self._writable.poll(WAIT_SECONDS * 1000):
                    self.check()

    def _receive(self, size_bytes: int) -> pa.Buffer:
        data = pa.allocate_buffer(size_bytes)
        rest = memoryview(data)
        while rest:
            try:
                received = self._end.recv_into(rest, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self.poll(WAIT_SECONDS):
                    self.check()
                continue
            if not received:
                raise EOFError
            rest = rest[received:]
        return data
