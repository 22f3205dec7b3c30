"""Objects as files in a folder of this machine."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from udtf.errors import StoreFull
from udtf.lake.objects.backend import ObjectMissing, StoreRefused, TransientError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PASSING = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE}


_COPY_BYTES = 1 << 20

MAX_KNOWN_FOLDERS = 10_000

MAX_RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 8
"""Objects leave so much of a disk free, a share of it but no more than that: the metadata database is often on the same
disk, and needs some room to remove what is old."""


class LocalFolder:
    """A `Backend`."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: set[Path] = set()

    def read(self, key: str) -> bytes:
        with _translated(key):
            return (self._root / key).read_bytes()

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        with _translated(key), (self._root / key).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), end - begin, begin)

    def read_tail(self, key: str, nb_bytes: int) -> bytes:
        with _translated(key), (self._root / key).open("rb", buffering=0) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            return os.pread(file.fileno(), nb_bytes, max(0, size_bytes - nb_bytes))

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        self._write(key, len(data), lambda file: file.write(data), durable=durable)

    def write_file(self, key: str, file: Path) -> None:
        with _translated(key), file.open("rb") as source:
            size_bytes = os.fstat(source.fileno()).st_size
            self._write(key, size_bytes, lambda copy: shutil.copyfileobj(source, copy, _COPY_BYTES), durable=True)

    def _write(self, key: str, size_bytes: int, fill: Callable[[BinaryIO], object], *, durable: bool) -> None:
        """Writes beside and renames, so that no reader and no crash ever sees half a file."""
        path = self._root / key
        self._check_room(size_bytes)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with _translated(key):
            try:
                file = partial.open("xb")
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = partial.open("xb")
            try:
                with file:
                    fill(file)
                    if durable:
                        file.flush()
                        os.fsync(file.fileno())
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            if durable:
                _sync_folder(path.parent)
                self._sync_above(path.parent)

    def _check_room(self, size_bytes: int) -> None:
        try:
            disk = os.statvfs(self._root)
        except FileNotFoundError:
            return  # There is no folder yet.
        reserve_bytes = min(MAX_RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
        if disk.f_bavail * disk.f_frsize < reserve_bytes + size_bytes:
            raise StoreFull("the object store has no room left")

    def _sync_above(self, folder: Path) -> None:
        """A folder is new to this server: it must be found after a power cut, and so must those above it."""
        if folder in self._synced or not folder.is_relative_to(self._root):
            return
        for above in (each for each in folder.parents if each.is_relative_to(self._root)):
            _sync_folder(above)
        if len(self._synced) >= MAX_KNOWN_FOLDERS:
            self._synced.clear()
        self._synced.add(folder)

    def delete(self, key: str) -> None:
        with _translated(key):
            (self._root / key).unlink(missing_ok=True)

    def written_at(self, prefix: str) -> Mapping[str, float]:
        times: dict[str, float] = {}
        with _translated(prefix):
            for folder, _, names in os.walk(self._root / prefix):
                for name in names:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):
                        times[path.relative_to(self._root).as_posix()] = path.stat().st_mtime
        return times


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"object {key} is missing from the store") from error
    except OSError as error:
        if error.errno in _PASSING:
            raise TransientError(f"object {key}: {error.strerror}") from error
        if error.errno in _FULL:
            raise StoreFull("the object store has no room left") from error
        raise StoreRefused(f"object {key} cannot be read or written: {error.strerror}") from error


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
