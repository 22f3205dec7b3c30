"""An object store that answers late, as one at the other end of a network does."""

import time

from udtf.lake.objects import ObjectStore


class SlowObjectStore(ObjectStore):
    """A local folder in which every request takes `latency_s` seconds longer; any number of them may wait at once.

    It passes for remote, so that a lake treats it as it would treat a store that is.
    """

    def __init__(self, folder: str, latency_s: float) -> None:
        super().__init__(folder, auto_mkdir=True)
        self.is_local = False
        self._latency_s = latency_s

    def get(self, key: str) -> bytes:
        time.sleep(self._latency_s)
        return super().get(key)

    def put(self, key: str, data: bytes, *, durable: bool) -> None:
        time.sleep(self._latency_s)
        super().put(key, data, durable=durable)

    def delete(self, key: str) -> None:
        time.sleep(self._latency_s)
        super().delete(key)

    def keys(self, prefix: str) -> list[str]:
        time.sleep(self._latency_s)
        return super().keys(prefix)
