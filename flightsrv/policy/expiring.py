"""A map that forgets."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)
V = TypeVar("V")


class ExpiringStore(Protocol[K_contra, V]):
    """Values by key, which may expire: `get` returns None for one that has."""

    def put(self, key: K_contra, value: V) -> None: ...
    def get(self, key: K_contra) -> V | None: ...
    def forget(self, key: K_contra) -> None: ...


class ExpiringMap(Generic[K, V]):
    """Forgets entries some time after their last use, and the one used longest ago when there are too many or they are
    too large: for what clients leave behind. Safe to use from many threads.
    """

    def __init__(
        self,
        *,
        lifetime_s: float = 3600.0,
        max_entries: int = 10_000,
        max_bytes: int = 256 << 20,
        size_of: Callable[[K, V], int] = lambda key, value: 0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime_s = lifetime_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._size_bytes = 0
        self._clock_s = clock_s
        self._lock = Lock()
        # The one used longest ago comes first.
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        """Add an entry, in place of the one that the key had before."""
        with self._lock:
            self._forget(key)
            self._entries[key] = (self._clock_s(), value)
            self._size_bytes += self._size_of(key, value)
            self._forget_old()

    def get(self, key: K) -> V | None:
        """The value of a key. That is a use."""
        with self._lock:
            self._forget_old()
            if key not in self._entries:
                return None
            value = self._entries[key][1]
            self._entries[key] = (self._clock_s(), value)
            self._entries.move_to_end(key)
            return value

    def forget(self, key: K) -> None:
        """Forget the entry of a key, if there is one."""
        with self._lock:
            self._forget(key)

    def _forget(self, key: K) -> None:
        if key in self._entries:
            self._size_bytes -= self._size_of(key, self._entries.pop(key)[1])

    def _forget_old(self) -> None:
        oldest_s = self._clock_s() - self._lifetime_s
        while self._entries:
            key, (used_s, _) = next(iter(self._entries.items()))
            fits = len(self._entries) <= self._max_entries and self._size_bytes <= self._max_bytes
            if used_s >= oldest_s and fits:
                return
            self._forget(key)
