"""Uploads on disk, while they cannot be sent, or until they are: they outlive the process.

    ROOT/RECEIVER/PROCESS_ID/lock               locked by the process while it lives
                             000000000001       uploads, in order

A process that finds a folder of its receiver whose lock is free sends what is in there, and removes it. Folders of
other receivers that no process has touched for a week it removes, because none may ever send to these again. The lock
is that of the file (`flock`), which the system lifts however the process ends. Files are written whole or not at all,
but not synced: they survive any end of the process, not one of the machine.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

from flightsrv.tracing.descriptors import Descriptor, opened

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # where there is no `flock`, there is no spool
    flock = None  # type: ignore[assignment]

SPOOL_VARIABLE = "FLIGHTSRV_SPOOL"
"""Environment variable that names the folder of all spools."""

MAX_AGE_S = 7 * 24 * 3600.0
"""How long the uploads for a receiver wait for a program that sends to it."""

_LOCK = "lock"
_PIECE_BYTES = 1 << 20
_UNFINISHED = "."
"""What begins so is not there yet."""


def default_root() -> str:
    """The folder of the user's spools, unless another one is chosen."""
    chosen = os.environ.get(SPOOL_VARIABLE)
    if chosen:
        return chosen
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"flightsrv-{os.getuid()}")


class Spool:
    """The uploads of one process to one receiver. Makes its folder when there is something to keep."""

    def __init__(self, root: str, receiver: str, process_id: str, max_bytes: int) -> None:
        """`max_bytes` bounds what all processes together keep for the receiver."""
        from urllib.parse import quote

        self.folder = os.path.join(root, quote(receiver, safe=":")[:200])
        self.path = os.path.join(self.folder, process_id)
        self._root = root
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._next_number = 1
        self._lock: _Lock | None = None

    def add(self, data: bytes) -> str | None:
        """Keep an upload; returns its name, or None where there is no room for it, or no folder to write to."""
        try:
            if self._lock is None:
                self._lock = self._make()
            if self._size_bytes + len(data) > self._max_bytes:
                return None
            name = f"{self._next_number:012}"
            _write_whole(self.path, name, data)
        except OSError:
            return None
        self._next_number += 1
        self._size_bytes += len(data)
        return name

    def read(self, name: str) -> bytes:
        """The bytes of an upload; none if its file was removed."""
        return _read(os.path.join(self.path, name))

    def remove(self, name: str) -> None:
        """Forget an upload that has been sent."""
        path = os.path.join(self.path, name)
        with suppress(OSError):
            size_bytes = os.stat(path).st_size
            os.unlink(path)
            self._size_bytes -= size_bytes

    def abandoned(self) -> Iterator["Abandoned"]:
        """The folders of processes that are over, each locked until the next one is asked for."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if not name.startswith(_UNFINISHED))
        except OSError:
            return
        for name in names:
            path = os.path.join(self.folder, name)
            lock = None if path == self.path else _Lock.take(os.path.join(path, _LOCK))
            if lock is not None:
                try:
                    yield Abandoned(path)
                finally:
                    lock.release()

    def remove_outdated(self) -> Iterator[tuple[str, int]]:
        """Remove what has waited too long for a program that sends to another receiver; gives the folder of each
        process, and how many bytes were in it."""
        oldest = time.time() - MAX_AGE_S
        for receiver in _folders(self._root):
            for path in _folders(receiver) if receiver != self.folder else ():
                lock = _Lock.take(os.path.join(path, _LOCK)) if _modified(path) < oldest else None
                if lock is not None:
                    try:
                        yield path, _remove(path)
                    finally:
                        lock.release()

    def close(self) -> None:
        """Let go of the folder; remove it if it is empty."""
        if self._lock is not None:
            _remove_if_empty(self.path)
            self._lock.release()
            self._lock = None

    def forget(self) -> None:
        """In a forked child: the folder and its lock are the parent's."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _make(self) -> "_Lock":
        """The folder, which gets its name when it is locked. Raises OSError."""
        if flock is None:
            raise OSError("no flock")
        _make_private(self._root)
        _make_private(self.folder)
        self._size_bytes = sum(
            os.stat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(self.folder) for name in names
        )
        unfinished = os.path.join(self.folder, _UNFINISHED + os.path.basename(self.path))
        os.mkdir(unfinished, 0o700)
        lock = _Lock.take(os.path.join(unfinished, _LOCK), os.O_CREAT)
        if lock is None:
            raise OSError("the lock of a new folder is taken")
        os.rename(unfinished, self.path)
        return lock


class Abandoned:
    """The uploads that a process left behind."""

    def __init__(self, path: str) -> None:
        self._path = path

    def uploads(self) -> Iterator[bytes]:
        """In order; each is removed when the next one is asked for. Then the folder is removed."""
        for name in sorted(os.listdir(self._path)):
            if name == _LOCK:
                continue
            path = os.path.join(self._path, name)
            data = b"" if name.startswith(_UNFINISHED) else _read(path)
            if data:
                yield data
            with suppress(OSError):
                os.unlink(path)
        _remove_if_empty(self._path)


class _Lock:
    """A file that is locked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = Descriptor(descriptor)

    @classmethod
    def take(cls, path: str, flags: int = 0) -> "_Lock | None":
        """The lock, unless another process has it, or it is not there."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        except OSError:
            return None
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        self._descriptor.close()


def _make_private(path: str) -> None:
    """A folder that no other user has a hand in. Raises OSError."""
    with suppress(FileExistsError):
        os.makedirs(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{path} is not a folder of this user alone")


def _write_whole(folder: str, name: str, data: bytes) -> None:
    unfinished = os.path.join(folder, _UNFINISHED + name)
    try:
        with opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(file, remaining) :]
        os.rename(unfinished, os.path.join(folder, name))
    except OSError:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def _read(path: str) -> bytes:
    try:
        with opened(path, os.O_RDONLY) as file:
            pieces = []
            while piece := os.read(file, _PIECE_BYTES):
                pieces.append(piece)
            return b"".join(pieces)
    except FileNotFoundError:
        return b""


def _folders(path: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _modified(path: str) -> float:
    """When something was put into a folder last, or taken out; now, if it is gone."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return time.time()


def _remove(path: str) -> int:
    """Remove a folder, as far as that goes; returns how many bytes were in its files."""
    size_bytes = 0
    with suppress(OSError):
        for entry in os.scandir(path):
            size_bytes += entry.stat().st_size
            os.unlink(entry.path)
        os.rmdir(path)
    return size_bytes


def _remove_if_empty(path: str) -> None:
    with suppress(OSError):
        if os.listdir(path) == [_LOCK]:
            os.unlink(os.path.join(path, _LOCK))
            os.rmdir(path)
