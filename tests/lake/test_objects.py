"""The object store asks again where that helps, never too often, and never too much at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.latency import Trouble, UnreliableNetwork
from tests.support.scripted_s3 import ScriptedS3
from udtf.errors import CorruptData, StoreUnavailable
from udtf.lake.objects import LocalFolder, ObjectMissing, ObjectStore, StoreRefused, TransientError
from udtf.lake.settings import StoreSettings

HASTY = StoreSettings(max_tries=3, first_pause_s=0.001, max_pause_s=0.01)


@pytest.fixture
def s3_store(scripted_s3: ScriptedS3) -> Iterator[ObjectStore]:
    """A store on the scripted endpoint, which waits half a second for an answer."""
    options = {
        "key": "tests",
        "secret": "tests",
        "endpoint_url": scripted_s3.url,
        "config_kwargs": {"read_timeout": 0.5},
    }
    store = ObjectStore.open("s3://bucket/prefix", HASTY, options)
    yield store
    store.close()


PASSING = ["SlowDown", "ServiceUnavailable", "InternalError", "TooManyRequests", "RequestTimeout", "reset", "stall"]


@pytest.mark.parametrize("failure", [*PASSING, "half"])
def test_a_read_that_fails_in_a_way_that_passes_is_tried_again(
    scripted_s3: ScriptedS3, s3_store: ObjectStore, failure: str
) -> None:
    """One failure costs one more request: the libraries below do not try for themselves, too."""
    scripted_s3.script = [failure]
    assert s3_store.get("key") == scripted_s3.content
    assert scripted_s3.requests == [("GET", "/bucket/prefix/key")] * 2


@pytest.mark.parametrize("failure", PASSING)
def test_a_write_that_fails_in_a_way_that_passes_is_tried_again(
    scripted_s3: ScriptedS3, s3_store: ObjectStore, failure: str
) -> None:
    """Objects never change, so writing one twice does no harm."""
    scripted_s3.script = [failure]
    s3_store.put("key", b"data", durable=True)
    assert scripted_s3.requests == [("PUT", "/bucket/prefix/key")] * 2


@pytest.mark.parametrize(
    ("answer", "error"), [("NoSuchKey", ObjectMissing), ("AccessDenied", StoreRefused), ("InvalidRange", CorruptData)]
)
def test_an_answer_that_will_not_change_is_taken_at_once(
    scripted_s3: ScriptedS3, s3_store: ObjectStore, answer: str, error: type[Exception]
) -> None:
    """A missing object does not come by waiting, and neither does a permission."""
    scripted_s3.script = [answer]
    with pytest.raises(error):
        s3_store.get_range("key", 0, 7)
    assert len(scripted_s3.requests) == 1


def test_patience_ends(scripted_s3: ScriptedS3, s3_store: ObjectStore) -> None:
    """After as many tries as are allowed it says what the store said last, and no more requests are made."""
    scripted_s3.script = ["SlowDown"] * 10
    with pytest.raises(StoreUnavailable, match="as told"):
        s3_store.get("key")
    assert len(scripted_s3.requests) == HASTY.max_tries


def test_a_store_that_is_not_there_is_unavailable(scripted_s3: ScriptedS3, s3_store: ObjectStore) -> None:
    """Nothing listens any more."""
    scripted_s3.stop()
    with pytest.raises(StoreUnavailable):
        s3_store.get("key")


def test_a_range_is_read_from_s3(s3_url: str) -> None:
    """The last byte of a range is not of it."""
    store = ObjectStore.open(s3_url)
    store.put("folder/key", bytes(range(100)), durable=True)
    assert store.get_range("folder/key", 10, 13) == bytes([10, 11, 12])
    assert list(store.written_at("folder")) == ["folder/key"]
    store.delete("folder/key")
    with pytest.raises(ObjectMissing):
        store.get_range("folder/key", 10, 13)
    assert dict(store.written_at("folder")) == {}


def test_no_more_requests_are_under_way_than_allowed(tmp_path: Path) -> None:
    """However many threads ask."""
    network = UnreliableNetwork(LocalFolder(tmp_path), Trouble(latency_s=0.002))
    store = ObjectStore(network, StoreSettings(max_requests=3))
    store.put("key", b"data", durable=False)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(store.get, ["key"] * 64)) == [b"data"] * 64
    assert network.most_at_once == 3


class OneBusyObject(LocalFolder):
    """A folder where one object is never to be had."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = threading.Event()

    def read(self, key: str) -> bytes:
        if key == "busy":
            self.asked.set()
            raise TransientError("503 Slow Down")
        return super().read(key)


def test_a_pause_takes_no_place(tmp_path: Path) -> None:
    """Who waits to try again does not keep others from asking."""
    folder = OneBusyObject(tmp_path)
    store = ObjectStore(folder, StoreSettings(max_requests=1, max_tries_s=600, first_pause_s=600, max_pause_s=600))
    store.put("key", b"data", durable=False)
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(store.get, "busy")
        folder.asked.wait()
        assert store.get("key") == b"data"
        store.close()
        assert isinstance(paused.exception(), StoreUnavailable)


def test_closing_ends_all_patience(tmp_path: Path) -> None:
    """A server that stops does not wait for a store that is gone."""
    network = UnreliableNetwork(LocalFolder(tmp_path), Trouble(throttled_share=1))
    store = ObjectStore(network, StoreSettings(max_tries=100, max_tries_s=600, first_pause_s=600, max_pause_s=600))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(store.get, "key")
        while not network.requests:
            pass
        store.close()
        with pytest.raises(StoreUnavailable):
            reading.result()


def test_the_same_seed_fails_the_same_requests(tmp_path: Path) -> None:
    """What a test found can be looked at again."""

    def fates(seed: int) -> list[bool]:
        network = UnreliableNetwork(LocalFolder(tmp_path), Trouble(failed_share=0.3, throttled_share=0.2, seed=seed))
        store = ObjectStore(network, StoreSettings(max_tries=1))
        return [_fails(store) for _ in range(200)]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)
    assert 60 < sum(fates(1)) < 140


def _fails(store: ObjectStore) -> bool:
    try:
        store.delete("key")
    except StoreUnavailable:
        return True
    return False
