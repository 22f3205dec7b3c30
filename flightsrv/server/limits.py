"""What calls may take of a server, as far as the caller's side of it goes; memory is a matter of `udtf.settings`."""

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 128 << 20
"""Most bytes of a message from a client. A record batch must fit, and a block of telemetry in it has up to 64 MiB."""


@dataclass(frozen=True)
class CallLimits:
    """Limits of calls.

    Attributes:
        max_calls: most calls that are answered at once, each by a thread of its own; others are refused. It should be
            well above `max_queries`, since a query that waits is a call.
        max_queries: most queries that run at once. Others wait, and are sent away after a while.
        max_wait_s: how long they wait.
        max_stall_s: how long a call waits for its client to take what was sent, or to send more.
        max_query_s: how long a query may run; None is for ever.
        max_result_bytes: how large a result may become; None is without end.
    """

    max_calls: int = 512
    max_queries: int = 64
    max_wait_s: float = 60.0
    max_stall_s: float = 120.0
    max_query_s: float | None = None
    max_result_bytes: int | None = None
