"""A network between us and the objects: it makes every request wait, and lets some fail. For tests."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from udtf.lake.objects import Backend, TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class Trouble:
    """What happens to requests. Shares are of all requests, from 0 to 1; the same seed gives the same sequence.

    A request that is throttled is not carried out. One that fails may have been: in half of the cases only its answer
    is lost.
    """

    latency_s: float = 0.0
    failed_share: float = 0.0
    throttled_share: float = 0.0
    seed: int = 0


class UnreliableNetwork:
    """A backend of an object store, in front of another one. Any number of requests may wait at once.

    It passes for remote, so that a lake treats it as it would treat a store that is.
    """

    is_local = False

    def __init__(self, backend: Backend, trouble: Trouble) -> None:
        self._backend = backend
        self._trouble = trouble
        self._lock = threading.Lock()
        self._dice = random.Random(trouble.seed)
        self._under_way = 0
        self.requests = 0
        self.most_at_once = 0

    def read(self, key: str) -> bytes:
        return self._send(lambda: self._backend.read(key))

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        return self._send(lambda: self._backend.read_range(key, begin, end))

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        self._send(lambda: self._backend.write(key, data, durable=durable))

    def delete(self, key: str) -> None:
        self._send(lambda: self._backend.delete(key))

    def written_at(self, prefix: str) -> Mapping[str, float]:
        return self._send(lambda: self._backend.written_at(prefix))

    def _send(self, carry_out: Callable[[], T]) -> T:
        with self._lock:
            fate = self._dice.random()
            answer_lost = self._dice.random() < 0.5
            self.requests += 1
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            time.sleep(self._trouble.latency_s)
            if fate < self._trouble.throttled_share:
                raise TransientError("503 Slow Down")
            failed = fate < self._trouble.throttled_share + self._trouble.failed_share
            if failed and not answer_lost:
                raise TransientError("connection reset before the request arrived")
            answer = carry_out()
            if failed:
                raise TransientError("connection reset before the answer arrived")
            return answer
        finally:
            with self._lock:
                self._under_way -= 1
