"""Descriptors of files and sockets, used only while they are ours.

A program that becomes a daemon closes all descriptors, whatever thread uses them, and their numbers are given to other
files. To close such a number would close a file of the program.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Descriptor:
    """A number, and the file that it stood for when it was opened."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._file = _identity(number)

    @property
    def is_ours(self) -> bool:
        """Whether it still stands for that file."""
        try:
            return _identity(self.number) == self._file
        except OSError:
            return False

    def close(self) -> None:
        """Close it, if it is ours."""
        if self.is_ours:
            with suppress(OSError):
                os.close(self.number)


@contextmanager
def opened(path: str, flags: int) -> Iterator[int]:
    """A file for the length of a `with` block, its descriptor not inherited by other programs. Raises OSError."""
    descriptor = Descriptor(os.open(path, flags | os.O_CLOEXEC, 0o600))
    try:
        yield descriptor.number
    finally:
        descriptor.close()


def descriptor_of(connection: socket.socket) -> Descriptor:
    """The descriptor of a connection. Raises OSError if it has been closed already."""
    try:
        return Descriptor(connection.fileno())
    except OSError:
        connection.detach()
        raise


@contextmanager
def closing(connection: socket.socket) -> Iterator[socket.socket]:
    """A connection for the length of a `with` block. Raises OSError if it has been closed already."""
    descriptor = descriptor_of(connection)
    try:
        yield connection
    finally:
        connection.detach()
        descriptor.close()


def _identity(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino
