"""The cache holds what was used last, never more than it may, and loads nothing twice."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from udtf.lake.cache import ByteBoundedCache

MAX_BYTES = 20
MAX_VALUE_BYTES = 8

keys = st.integers(0, 6)
sizes = st.integers(1, MAX_VALUE_BYTES + 3)


def bytes_cache(max_bytes: int = MAX_BYTES) -> ByteBoundedCache[int, bytes]:
    return ByteBoundedCache(max_bytes, MAX_VALUE_BYTES, len)


class CacheAgainstModel(RuleBasedStateMachine):
    """One thread's calls, beside an ordered dict that is searched and cut in plain Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = bytes_cache()
        self.model: OrderedDict[int, bytes] = OrderedDict()

    def keep(self, key: int, value: bytes) -> None:
        self.model.pop(key, None)
        if len(value) <= MAX_VALUE_BYTES:
            self.model[key] = value
        while sum(map(len, self.model.values())) > MAX_BYTES:
            self.model.popitem(last=False)

    def use(self, key: int) -> bytes | None:
        if key in self.model:
            self.model.move_to_end(key)
        return self.model.get(key)

    @rule(wanted=st.lists(keys, max_size=5), size=sizes, known=st.sets(keys))
    def get_all(self, wanted: list[int], size: int, known: set[int]) -> None:
        asked: list[int] = []

        def load(missing: list[int]) -> dict[int, bytes]:
            asked.extend(missing)
            return {key: bytes([key]) * size for key in missing if key in known}

        expected = {key: self.use(key) for key in dict.fromkeys(wanted)}
        missing = [key for key, value in expected.items() if value is None]
        found = self.cache.get_all(wanted, load)
        assert asked == missing
        for key in missing:
            if key in known:
                expected[key] = bytes([key]) * size
                self.keep(key, bytes([key]) * size)
        assert found == {key: value for key, value in expected.items() if value is not None}

    @rule(key=keys)
    def peek(self, key: int) -> None:
        assert self.cache.peek(key) == self.use(key)

    @rule(key=keys, size=sizes)
    def put(self, key: int, size: int) -> None:
        self.cache.put(key, bytes([key]) * size)
        self.keep(key, bytes([key]) * size)

    @rule(key=keys)
    def drop(self, key: int) -> None:
        self.cache.drop(key)
        self.model.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        statistics = self.cache.statistics()
        assert statistics.entries == len(self.model)
        assert statistics.size_bytes == sum(map(len, self.model.values()))


TestCacheAgainstModel = CacheAgainstModel.TestCase


class Loader:
    """Loads when it is let, and counts."""

    def __init__(self, give: Callable[[], bytes] = lambda: b"value") -> None:
        self.give = give
        self.loads = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> bytes:
        self.loads += 1
        self.begun.set()
        self.may_end.wait()
        return self.give()


def wait_until_hit(cache: ByteBoundedCache[int, bytes], hits: int) -> None:
    while cache.statistics().hits < hits:
        pass


def test_readers_of_one_missing_key_cause_one_load() -> None:
    """Those who come while it is loaded wait for it."""
    cache, loader = bytes_cache(), Loader()
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(cache.get, 1, loader) for _ in range(8)]
        wait_until_hit(cache, 7)
        loader.may_end.set()
        assert [reader.result() for reader in readers] == [b"value"] * 8
    assert loader.loads == 1
    assert (cache.statistics().hits, cache.statistics().misses) == (7, 1)


def test_groups_of_keys_that_overlap_wait_for_one_another() -> None:
    """Each loads only what nobody else does, and nobody waits for ever."""
    cache: ByteBoundedCache[int, int] = ByteBoundedCache(10_000, 10_000, lambda _: 1)
    loads: list[int] = []
    start = threading.Barrier(8)

    def load(missing: list[int]) -> dict[int, int]:
        loads.extend(missing)
        return {key: -key for key in missing}

    def read(first: int) -> dict[int, int]:
        start.wait()
        return cache.get_all(range(first, first + 50), load)

    with ThreadPoolExecutor(8) as pool:
        for first, found in zip(range(0, 80, 10), pool.map(read, range(0, 80, 10)), strict=True):
            assert found == {key: -key for key in range(first, first + 50)}
    assert sorted(loads) == list(range(120))


@pytest.mark.parametrize("where", ["load", "size"])
def test_a_failure_reaches_all_who_wait_and_is_not_kept(where: str) -> None:
    """The next reader tries again."""

    def fail(*_: object) -> int:
        raise OSError("gone")

    loader = Loader(fail if where == "load" else lambda: b"value")  # type: ignore[arg-type]
    cache: ByteBoundedCache[int, bytes] = ByteBoundedCache(20, 20, len if where == "load" else fail)
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(cache.get, 1, loader) for _ in range(2)]
        wait_until_hit(cache, 1)
        loader.may_end.set()
        for reader in readers:
            with pytest.raises(OSError, match="gone"):
                reader.result()
    with pytest.raises(OSError, match="gone"):
        cache.get(1, loader)
    assert loader.loads == 2


@pytest.mark.parametrize("forget", [lambda cache: cache.drop(1), lambda cache: cache.clear()], ids=["drop", "clear"])
def test_what_is_dropped_while_it_is_loaded_is_not_kept(forget: Callable[[ByteBoundedCache[int, bytes]], None]) -> None:
    """Who asked for it gets it, and the next one loads it anew."""
    cache, loader = bytes_cache(), Loader()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(cache.get, 1, loader)
        loader.begun.wait()
        forget(cache)
        loader.may_end.set()
        assert reader.result() == b"value"
    assert cache.statistics().entries == 0
    assert cache.get(1, lambda: b"newer") == b"newer"


def test_a_cache_of_nothing_keeps_nothing() -> None:
    """A server can be run without."""
    cache = bytes_cache(max_bytes=0)
    assert [cache.get(1, lambda: b"value") for _ in range(2)] == [b"value"] * 2
    assert cache.statistics().misses == 2


def test_many_threads_never_exceed_the_bound() -> None:
    """And always get the value of the key that they asked for."""
    cache = bytes_cache()

    def use(seed: int) -> bool:
        for step in range(500):
            key = (seed * 7 + step * step) % 11
            assert cache.get(key, lambda key=key: bytes([key]) * (1 + key % 9))[0] == key  # type: ignore[misc]
            if step % 13 == 0:
                cache.drop(key)
            assert cache.statistics().size_bytes <= MAX_BYTES
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(use, range(6)))
