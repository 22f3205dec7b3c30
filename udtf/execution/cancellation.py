"""How a statement finds out, while it runs, that nobody waits for it any more."""

from collections.abc import Callable

POLL_SECONDS = 0.05
"""How soon one who waits looks whether to go on."""

MAX_POLL_SECONDS = 0.4
"""How often one looks who has waited for longer."""


class QueryCancelled(Exception):
    """The caller asked for the query to stop, and it has."""


class Cancellation:
    """Carried by a statement from planning on; who runs the statement says whom to ask."""

    def __init__(self) -> None:
        self.is_cancelled: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Raises QueryCancelled if the caller has gone."""
        if self.is_cancelled():
            raise QueryCancelled("the query was cancelled")
