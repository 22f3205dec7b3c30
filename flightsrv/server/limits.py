"""What queries may take of a server, as far as the caller's side of it goes; memory is a matter of `udtf.settings`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CallLimits:
    """Limits of queries.

    Attributes:
        max_queries: most queries that run at once. Others wait, and are sent away after a while.
        max_wait_s: how long they wait.
        max_query_s: how long a query may run; None is for ever.
        max_result_bytes: how large a result may become; None is without end.
    """

    max_queries: int = 64
    max_wait_s: float = 60.0
    max_query_s: float | None = None
    max_result_bytes: int | None = None
