"""How a statement finds out, while it runs, that it has been cancelled."""

from collections.abc import Callable

POLL_SECONDS = 0.05
"""How soon a waiting thread looks whether to go on."""

MAX_POLL_SECONDS = 0.4
"""How often one that has waited for longer looks."""


class QueryCancelled(Exception):
    """The caller asked for the query to stop, and it has."""


class Cancellation:
    """Carried by a statement from planning on; the caller of the statement sets what it asks."""

    def __init__(self) -> None:
        self.is_cancelled: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Raises QueryCancelled if the caller has gone."""
        if self.is_cancelled():
            raise QueryCancelled("the query was cancelled")
