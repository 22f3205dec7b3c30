"""A cache bounded by bytes, for values that never change once they are made."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class CacheStatistics:
    """Counts since the cache was made, and what it holds now. A reader that waited for another's load is a hit."""

    hits: int
    misses: int
    entries: int
    size_bytes: int


class ByteBoundedCache(Generic[K, V]):
    """Keeps the values used last. Safe to use from many threads; readers of one missing key cause one load.

    Args:
        max_bytes: bound on all values together; 0 keeps nothing.
        max_value_bytes: larger values are handed out but not kept.
        size_of: bytes of a value.
    """

    def __init__(self, max_bytes: int, max_value_bytes: int, size_of: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._max_value_bytes = min(max_value_bytes, max_bytes)
        self._size_of = size_of
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loading: dict[K, Future[V]] = {}
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The value of a key, loaded if it is not there; what `load` raises reaches all who wait for it."""
        with self._lock:
            if key in self._values:
                self._hits += 1
                self._values.move_to_end(key)
                return self._values[key]
            future = self._loading.get(key)
            if future is not None:
                self._hits += 1
            else:
                self._misses += 1
                loading: Future[V] = Future()
                self._loading[key] = loading
        if future is not None:
            return future.result()
        try:
            value = load()
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            loading.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            self._keep(key, value)
        loading.set_result(value)
        return value

    def peek(self, key: K) -> V | None:
        """The value of a key if it is there."""
        with self._lock:
            if key not in self._values:
                self._misses += 1
                return None
            self._hits += 1
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: K, value: V) -> None:
        """Keep a value that was made rather than loaded."""
        with self._lock:
            self._keep(key, value)

    def drop(self, key: K) -> None:
        """Forget a value."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()
            self._size_bytes = 0

    def statistics(self) -> CacheStatistics:
        with self._lock:
            return CacheStatistics(self._hits, self._misses, len(self._values), self._size_bytes)

    def _keep(self, key: K, value: V) -> None:
        size = self._size_of(value)
        if size > self._max_value_bytes:
            return
        self._drop(key)
        self._values[key] = value
        self._size_bytes += size
        while self._size_bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self._size_bytes -= self._size_of(oldest)

    def _drop(self, key: K) -> None:
        if key in self._values:
            self._size_bytes -= self._size_of(self._values.pop(key))
