"""Parameters that are bound to prepared statements, all that a server remembers of these.

They are forgotten when the statement is closed, and some time after their last use for clients that never close it.
"""

from typing import Any

import pyarrow as pa

from flightsrv.policy.expiring import ExpiringMap


class BoundParameters(ExpiringMap[bytes, pa.Table]):
    """Parameters by handle: a table with a row for each run of the statement. All of them together take a bounded
    number of bytes."""

    def __init__(self, **limits: Any) -> None:
        """Takes the limits of an ExpiringMap."""
        super().__init__(size_of=bound_bytes, **limits)


def bound_bytes(handle: bytes, parameters: pa.Table) -> int:
    """Memory that parameters take while they are kept."""
    return len(handle) + int(parameters.get_total_buffer_size())
