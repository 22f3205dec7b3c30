"""Calls that arrive at about the same time, carried out together: one transaction for many."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Safe to use from many threads. While a group is at work the next one gathers; no call waits for others to come.

    Args:
        commit: takes the items of a group, and returns for each its result or an exception.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._working = threading.Lock()
        self._waiting: list[tuple[T, Future[R]]] = []

    def __call__(self, item: T) -> R:
        """Commit an item with its group; returns its result, or raises what became of it."""
        outcome: Future[R] = Future()
        with self._lock:
            self._waiting.append((item, outcome))
        with self._working:
            if not outcome.done():
                with self._lock:
                    group, self._waiting = self._waiting, []
                self._work(group)
        return outcome.result()

    def _work(self, group: list[tuple[T, Future[R]]]) -> None:
        try:
            results = self._commit([item for item, _ in group])
        except BaseException as error:
            for _, outcome in group:
                outcome.set_exception(error)
            return
        for (_, outcome), result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)
