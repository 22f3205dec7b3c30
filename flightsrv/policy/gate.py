"""Admission of calls: how many are in flight, at most how many, and none once the server stops."""

from threading import Condition

from flightsrv.policy.errors import Draining
from udtf.errors import Overloaded


class Gate:
    """Open, then draining (calls in flight go on, new ones are refused), then closed (all shall end now).

    Safe to use from many threads.
    """

    def __init__(self, max_inside: int) -> None:
        self._max_inside = max_inside
        self._changed = Condition()
        self._inside = 0
        self._draining = False
        self._closed = False

    def enter(self) -> None:
        """Let a call in.

        Raises:
            Draining: the server is stopping.
            Overloaded: as many as may be are in.
        """
        with self._changed:
            if self._draining:
                raise Draining("the server is stopping; try again in a moment")
            if self._inside >= self._max_inside:
                raise Overloaded(f"{self._inside} calls are under way, as many as there may be; try again in a moment")
            self._inside += 1

    def leave(self) -> None:
        """A call that was let in has ended."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Refuse new calls, wait for those in flight, and tell whether all ended in time."""
        with self._changed:
            self._draining = True
            return self._changed.wait_for(lambda: self._inside == 0, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Tell calls in flight to end, wait for that, and tell whether all did."""
        with self._changed:
            self._closed = True
        return self.drain(timeout_s)

    def is_draining(self) -> bool:
        """Whether new calls are refused."""
        return self._draining

    def is_closed(self) -> bool:
        """Whether calls in flight shall end now."""
        return self._closed
