"""What calls may take of a server; what their queries may take is in `udtf.functions.settings`."""

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 128 << 20
"""Most bytes of a message from a client. A record batch must fit, and a block of telemetry in it has up to 64 MiB."""

MAX_BOUND_BYTES = 16 << 20
"""Most bytes of the parameters of a statement, its own text included."""

MAX_BOUND_ROWS = 10_000
"""Most rows of parameters of a statement: it runs once for each."""

MAX_PARAMETERS = 99_999
"""Numbers of parameters have at most five digits."""

SESSION_LIFETIME_S = 12 * 3600.0
"""How long a session is remembered after its last use."""

_FRAME_BYTES = 64 << 10
"""What is around a statement in a request."""

_COPIES = 4
"""How often the text of a statement is in what GetFlightInfo answers and CancelFlightInfo takes, at most: in the
descriptor, in the ticket, and in the handle of a prepared statement in each."""

_SCHEMA_BYTES = 1 << 20
"""What else is in such a message."""


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
        max_statement_bytes: most bytes of a statement in UTF-8, or of a Substrait plan.
        max_parameters: most placeholders in a statement.
    """

    max_calls: int = 512
    max_queries: int = 64
    max_wait_s: float = 60.0
    max_stall_s: float = 120.0
    max_query_s: float | None = None
    max_result_bytes: int | None = None
    max_statement_bytes: int = 1 << 20
    max_parameters: int = 10_000

    @property
    def max_request_bytes(self) -> int:
        """Most bytes of a message that asks for something, and brings no rows."""
        return self.max_statement_bytes + _FRAME_BYTES

    @property
    def max_info_bytes(self) -> int:
        """Most bytes of a message with a FlightInfo in it, which the server made."""
        return _COPIES * self.max_statement_bytes + _SCHEMA_BYTES

    @property
    def max_ticket_bytes(self) -> int:
        """Most bytes of a ticket, which holds the parameters of its statement as well."""
        return self.max_info_bytes + MAX_BOUND_BYTES
