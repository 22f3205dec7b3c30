"""Objects below a URL that fsspec knows, such as `s3://bucket/prefix`."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec

from udtf.errors import CorruptData
from udtf.lake.objects import s3
from udtf.lake.objects.backend import ObjectMissing, StoreRefused, TransientError

_PASSING = {errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE, errno.ECONNREFUSED}


class RemoteFolder:
    """A `Backend`.

    Args:
        uri: where the folder is.
        max_connections: most that are open to the store at once.
        options: handed to fsspec's file system.
    """

    is_local = False

    def __init__(self, uri: str, max_connections: int, options: Mapping[str, Any]) -> None:
        # Other servers write too: what a listing said a second ago is no answer.
        options = {"use_listings_cache": False, "skip_instance_cache": True, **options}
        self._passing: tuple[type[Exception], ...] = (TimeoutError, ConnectionError)
        is_s3 = fsspec.utils.get_protocol(uri) in s3.PROTOCOLS
        if is_s3:
            options = s3.with_connections(options, max_connections)
            self._passing += s3.passing_errors()
        self._files, root = fsspec.core.url_to_fs(uri, **options)
        if is_s3:
            s3.try_once(self._files)
        self._upload_options = s3.UPLOAD_OPTIONS if is_s3 else {}
        self._root = str(root).rstrip("/")

    def read(self, key: str) -> bytes:
        with self._translated(key):
            data: bytes = self._files.cat_file(self._path(key))
        return data

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        with self._translated(key):
            data: bytes = self._files.cat_file(self._path(key), start=begin, end=end)
        return data

    def read_tail(self, key: str, nb_bytes: int) -> bytes:
        with self._translated(key):
            data: bytes = self._files.cat_file(self._path(key), start=-nb_bytes)
        return data

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        """A remote store always promises durability."""
        with self._translated(key):
            self._files.pipe_file(self._path(key), data)

    def write_file(self, key: str, file: Path) -> None:
        with self._translated(key):
            self._files.put_file(str(file), self._path(key), **self._upload_options)

    def delete(self, key: str) -> None:
        with suppress(ObjectMissing), self._translated(key):
            self._files.rm_file(self._path(key))

    def written_at(self, prefix: str) -> Mapping[str, float]:
        with self._translated(prefix):
            found = self._files.find(self._path(prefix), detail=True)
        return {str(path)[len(self._root) + 1 :]: _written_at(details) for path, details in found.items()}

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"object {key} is missing from the store") from error
        except PermissionError as error:
            raise StoreRefused(f"the store gives no access to object {key}") from error
        except Exception as error:
            if s3.is_beyond_the_end(error):
                raise CorruptData(f"object {key} is shorter than it was when it was written") from error
            # Without an answer of the store, the text of an error is of addresses and sockets: not for a caller.
            reason = str(error)[:200] if s3.is_answer(error) else type(error).__name__
            if self._passes(error):
                raise TransientError(f"object {key}: {reason}") from error
            raise StoreRefused(f"the store refused a request for object {key}: {reason}") from error

    def _passes(self, error: Exception) -> bool:
        if isinstance(error, self._passing) or s3.is_passing_answer(error):
            return True
        return isinstance(error, OSError) and error.errno in _PASSING


def _written_at(details: Mapping[str, Any]) -> float:
    """As seconds since 1970; never, for file systems that do not tell."""
    when = details.get("LastModified", details.get("created"))
    return when.timestamp() if isinstance(when, datetime) else float("inf")
