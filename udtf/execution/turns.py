"""A short step that jobs running in parallel must take in their order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Numbered turns, from 0. Every number must take its turn, or those after it wait for ever.

    Jobs that start in order (`ordered`) can wait here: the one whose turn it is has always been started.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0

    @contextmanager
    def take(self, number: int) -> Iterator[None]:
        """Wait until every lower number has had its turn; the turn ends with the block, however it ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == number)
        try:
            yield
        finally:
            with self._changed:
                self._next += 1
                self._changed.notify_all()
