"""Threads in a row: each stage takes items from its queue and hands on what comes of them."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from flightsrv.tracing import span

Item = TypeVar("Item")


class _End:
    """What a thread finds in its queue when there is nothing more to do."""


class Failure:
    """The first thing that went wrong in any thread; after it, items are thrown away, and no thread waits for ever."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._barriers: list[threading.Barrier] = []
        self._lock = threading.Lock()

    def barrier(self, parties: int) -> threading.Barrier:
        """A barrier that breaks when something goes wrong."""
        barrier = threading.Barrier(parties)
        with self._lock:
            self._barriers.append(barrier)
        return barrier

    def record(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
            barriers = list(self._barriers)
        for barrier in barriers:
            barrier.abort()


class Stage(Generic[Item]):
    """Threads that share a queue of limited length, so that a slow stage slows down the one before it."""

    def __init__(self, name: str, threads: int, work: Callable[[Item], None], failure: Failure) -> None:
        self._work = work
        self._failure = failure
        self._items: queue.Queue[Item | _End] = queue.Queue(maxsize=2 * threads)
        names = [f"{name}-{number}" for number in range(1, threads + 1)] if threads > 1 else [name]
        self._threads = [threading.Thread(target=self._run, name=each, daemon=True) for each in names]
        for thread in self._threads:
            thread.start()

    def put(self, item: Item) -> None:
        """Give the stage something to do; waits while its queue is full."""
        with span("wait for next stage"):
            self._items.put(item)

    def finish(self) -> None:
        """Wait until all that was put is done, and end the threads."""
        for _ in self._threads:
            self._items.put(_End())
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with span("wait for work"):
                item = self._items.get()
            if isinstance(item, _End):
                return
            if self._failure.error is not None:
                continue
            try:
                self._work(item)
            except Exception as error:
                self._failure.record(error)
