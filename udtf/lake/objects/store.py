"""Objects by key, with patience for a store that throttles or fails for a while."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import tenacity

from udtf.errors import StoreUnavailable, UdtfError
from udtf.lake.objects.backend import Backend, ObjectMissing, StoreRefused, TransientError
from udtf.lake.objects.local_folder import LocalFolder
from udtf.lake.objects.remote_folder import RemoteFolder
from udtf.lake.settings import StoreSettings
from udtf.observability.statistics import StoreStatistics

log = logging.getLogger(__name__)

T = TypeVar("T")


def _ignore() -> None:
    pass


class ObjectStore:
    """Objects under one root. They are never changed once written. Safe to use from many threads.

    A request that fails in a way that passes is tried again after a pause: random, and at most twice as long each
    time, so that many servers do not come back all at once.

    All methods raise StoreUnavailable when the store failed for too long, and StoreRefused when it will not do it.
    """

    def __init__(self, backend: Backend, settings: StoreSettings | None = None) -> None:
        settings = settings or StoreSettings()
        self.is_local = backend.is_local
        self._backend = backend
        self._slots = threading.BoundedSemaphore(settings.max_requests)
        self._closed = threading.Event()
        self._patience = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_random_exponential(multiplier=settings.first_pause_s, max=settings.max_pause_s),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(settings.max_tries),
                tenacity.stop_before_delay(settings.max_tries_s),
                tenacity.stop_when_event_set(self._closed),
            ),
            sleep=tenacity.sleep_using_event(self._closed),
            before_sleep=lambda _: self._count(retries=1),
            reraise=True,
        )
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(vars(StoreStatistics()), 0)

    @staticmethod
    def open(
        uri: str, settings: StoreSettings | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> "ObjectStore":
        """A local folder, or any URL that fsspec knows (`s3://bucket/prefix`); the options are its file system's."""
        settings = settings or StoreSettings()
        folder = local_folder(uri)
        if folder is not None:
            return ObjectStore(LocalFolder(folder), settings)
        return ObjectStore(RemoteFolder(uri, settings.max_requests, storage_options or {}), settings)

    def get(self, key: str, on_retry: Callable[[], None] = _ignore) -> bytes:
        """All bytes of an object; `on_retry` is called whenever a request failed and is tried again.

        Raises:
            ObjectMissing: there is no such object.
        """
        data = self._request(lambda: self._backend.read(key), on_retry)
        self._count(read_bytes=len(data))
        return data

    def get_range(self, key: str, begin: int, end: int, on_retry: Callable[[], None] = _ignore) -> bytes:
        """The bytes of an object from `begin` to `end`, the last not included; `on_retry` as in `get`.

        Raises:
            ObjectMissing: there is no such object.
        """
        data = self._request(lambda: self._backend.read_range(key, begin, end), on_retry)
        self._count(read_bytes=len(data))
        return data

    def get_tail(self, key: str, nb_bytes: int) -> bytes:
        """The last bytes of an object, all of a shorter one.

        Raises:
            ObjectMissing: there is no such object.
        """
        data = self._request(lambda: self._backend.read_tail(key, nb_bytes))
        self._count(read_bytes=len(data))
        return data

    def put(self, key: str, data: bytes, *, durable: bool) -> None:
        """Write an object; it replaces one of the same key.

        With `durable`, it has reached the disk on return. A remote store always promises that.
        """
        self._put(key, len(data), lambda: self._backend.write(key, data, durable=durable))

    def put_file(self, key: str, file: Path) -> None:
        """Write an object with the content of a file of this machine, as `put` does with `durable`, without having all
        of it in memory."""
        self._put(key, file.stat().st_size, lambda: self._backend.write_file(key, file))

    def delete(self, key: str) -> None:
        """Remove an object, or do nothing if there is none."""
        self._request(lambda: self._backend.delete(key))

    def try_delete(self, key: str) -> bool:
        """Remove an object that no row names; if that fails, it stays, and is removed as an orphan later."""
        try:
            self.delete(key)
        except UdtfError as error:
            log.warning("object %s stays where it is for now: %s", key, error)
            return False
        return True

    def written_at(self, prefix: str) -> Mapping[str, float]:
        """Keys below a folder, each with the time of its last change, in seconds since 1970. A local folder tells
        unfinished objects, too: their names begin with a dot."""
        return self._request(lambda: self._backend.written_at(prefix))

    def close(self) -> None:
        """Give up on requests that wait to be tried again."""
        self._closed.set()

    def statistics(self) -> StoreStatistics:
        with self._lock:
            return StoreStatistics(**self._counts)

    def _put(self, key: str, size_bytes: int, send: Callable[[], None]) -> None:
        try:
            self._request(send)
        except ObjectMissing as error:
            raise StoreRefused(f"object {key} has no place to be written to: is the store still there?") from error
        self._count(written_bytes=size_bytes)

    def _request(self, send: Callable[[], T], on_retry: Callable[[], None] = _ignore) -> T:
        """What all requests go through. Pauses take none of the places."""
        tries = 0

        def try_once() -> T:
            nonlocal tries
            self._count(requests=1)
            tries += 1
            if tries > 1:
                on_retry()
            with self._slots:
                return send()

        try:
            return self._patience(try_once)
        except TransientError as error:
            raise StoreUnavailable(f"the object store does not answer as it should, {error}") from error

    def _count(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount


def local_folder(uri: str) -> Path | None:
    """The folder of this machine that a URI means, if it means one."""
    if fsspec.utils.get_protocol(uri) not in ("file", "local"):
        return None
    _, root = fsspec.core.url_to_fs(uri)
    return Path(root)
