"""So many at once, and the others wait for their turn."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udtf.errors import Overloaded
from udtf.execution.cancellation import MAX_POLL_SECONDS, POLL_SECONDS, QueryCancelled


class Admission:
    """Lets in at most `max_inside` at once, in the order in which they come. Safe to use from many threads.

    Args:
        what: what is admitted, for the message to a caller that waited in vain: "queries are under way".
        max_wait_s: how long one waits before it is sent away.
    """

    def __init__(self, what: str, max_inside: int, max_wait_s: float) -> None:
        self._what = what
        self._max_inside = max_inside
        self._max_wait_s = max_wait_s
        self._changed = threading.Condition()
        self._inside = 0
        self._queue: deque[object] = deque()

    def enter(self, is_cancelled: Callable[[], bool]) -> None:
        """Come in, if need be after a wait. A caller that came in must `leave`.

        Raises:
            Overloaded: there was no room for too long.
            QueryCancelled: `is_cancelled` said so during the wait.
        """
        place = object()
        end_s = time.monotonic() + self._max_wait_s
        patience_s = POLL_SECONDS
        with self._changed:
            self._queue.append(place)
            try:
                while self._queue[0] is not place or self._inside >= self._max_inside:
                    if is_cancelled():
                        raise QueryCancelled("the query was cancelled")
                    if time.monotonic() >= end_s:
                        raise Overloaded(
                            f"{self._max_inside} {self._what}, as many as this server allows at once, and "
                            f"there was no room for {self._max_wait_s:g} s; try again later, or ask for less at a time"
                        )
                    self._changed.wait(patience_s)
                    patience_s = min(2 * patience_s, MAX_POLL_SECONDS)
                self._inside += 1
            finally:
                self._queue.remove(place)
                self._changed.notify_all()

    def leave(self) -> None:
        """Make room for another one."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    @contextmanager
    def place(self, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        """Come in for the length of a `with` block. Raises as `enter`."""
        self.enter(is_cancelled)
        try:
            yield
        finally:
            self.leave()

    @property
    def inside(self) -> int:
        """How many are in."""
        return self._inside
