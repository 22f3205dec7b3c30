"""A cache bounded by bytes, for values that never change once they are made."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from udtf.observability.statistics import CacheStatistics

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class _Kept(Generic[V]):
    value: V
    size_bytes: int


class ByteBoundedCache(Generic[K, V]):
    """Keeps the values used last. Safe to use from many threads; readers of one missing key cause one load.

    Args:
        max_bytes: bound on all values together; 0 keeps nothing.
        max_value_bytes: larger values are handed out but not kept.
        size_of: bytes of a value, more than 0. Asked once, when the value comes.
    """

    def __init__(self, max_bytes: int, max_value_bytes: int, size_of: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._max_value_bytes = min(max_value_bytes, max_bytes)
        self._size_of = size_of
        self._lock = threading.Lock()
        self._values: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._loading: dict[K, Future[Mapping[K, V]]] = {}
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The value of a key, loaded if it is not there; what `load` raises reaches all threads that wait for it."""
        return self.get_all([key], lambda _: {key: load()})[key]

    def get_all(self, keys: Iterable[K], load: Callable[[list[K]], Mapping[K, V]]) -> dict[K, V]:
        """The values of keys. Those that are neither there nor being loaded are loaded together.

        A key for which `load` gives no value has none in the result. What `load` raises reaches all threads that wait.
        """
        found: dict[K, V] = {}
        others: dict[K, Future[Mapping[K, V]]] = {}
        missing: list[K] = []
        loading: Future[Mapping[K, V]] = Future()
        with self._lock:
            for key in dict.fromkeys(keys):
                if key in self._values:
                    self._values.move_to_end(key)
                    found[key] = self._values[key].value
                elif key in self._loading:
                    others[key] = self._loading[key]
                else:
                    self._loading[key] = loading
                    missing.append(key)
            self._hits += len(found) + len(others)
            self._misses += len(missing)
        # Ours first: a thread that loads what this one waits for may wait for this one.
        if missing:
            found.update(self._load(missing, load, loading))
        for key, other in others.items():
            loaded = other.result()
            if key in loaded:
                found[key] = loaded[key]
        return found

    def peek(self, key: K) -> V | None:
        """The value of a key if it is there."""
        with self._lock:
            if key not in self._values:
                self._misses += 1
                return None
            self._hits += 1
            self._values.move_to_end(key)
            return self._values[key].value

    def put(self, key: K, value: V) -> None:
        """Keep a value that was made rather than loaded, in place of an older one."""
        size_bytes = self._size_of(value)
        with self._lock:
            self._keep(key, value, size_bytes)

    def drop(self, key: K) -> None:
        """Forget a value. One that is being loaded reaches the threads that wait for it, and is not kept."""
        with self._lock:
            self._loading.pop(key, None)
            self._drop(key)

    def clear(self) -> None:
        """Forget all values, as `drop` does."""
        with self._lock:
            self._loading.clear()
            self._values.clear()
            self._size_bytes = 0

    def statistics(self) -> CacheStatistics:
        with self._lock:
            return CacheStatistics(self._hits, self._misses, len(self._values), self._size_bytes)

    def _load(
        self, missing: list[K], load: Callable[[list[K]], Mapping[K, V]], loading: Future[Mapping[K, V]]
    ) -> Mapping[K, V]:
        try:
            loaded = load(missing)
            sizes = {key: self._size_of(value) for key, value in loaded.items()}
        except BaseException as error:
            with self._lock:
                for key in missing:
                    self._end_loading(key, loading)
            loading.set_exception(error)
            raise
        with self._lock:
            for key in missing:
                if self._end_loading(key, loading) and key in loaded:
                    self._keep(key, loaded[key], sizes[key])
        loading.set_result(loaded)
        return loaded

    def _end_loading(self, key: K, loading: Future[Mapping[K, V]]) -> bool:
        """Ends the loading of a key; False if it was dropped in the meantime."""
        if self._loading.get(key) is not loading:
            return False
        del self._loading[key]
        return True

    def _keep(self, key: K, value: V, size_bytes: int) -> None:
        self._drop(key)
        if size_bytes > self._max_value_bytes:
            return
        self._values[key] = _Kept(value, size_bytes)
        self._size_bytes += size_bytes
        while self._size_bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self._size_bytes -= oldest.size_bytes

    def _drop(self, key: K) -> None:
        if key in self._values:
            self._size_bytes -= self._values.pop(key).size_bytes
