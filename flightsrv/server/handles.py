"""Handles of prepared statements, which hold the statement itself, and the parameters bound to them.

A handle is the statement followed by a comment that makes it unique, so any server process can run it, and a client
that takes the handle for SQL text is right too. Only bound parameters live in the process; they are forgotten when
the statement is closed, and some time after their last use for the clients that never close.
"""

import uuid
from typing import Any

import pyarrow as pa

from flightsrv.server.expiring import ExpiringMap
from udtf.errors import InvalidArgument

_MARK = "\n/*ps:"
_PLAN_MARK = b"\0plan:"

MAX_BOUND_ROWS = 10_000
"""The statement runs once for each row of parameters."""


def new_handle(sql: str) -> bytes:
    """A unique handle for a statement."""
    return f"{sql}{_MARK}{uuid.uuid4().hex}*/".encode()


def statement_of(handle: bytes) -> str:
    """The statement behind a handle.

    Raises:
        InvalidArgument: the bytes are no handle that `new_handle` made.
    """
    if plan_of(handle) is not None:
        raise InvalidArgument("a Substrait plan takes no parameters")
    try:
        sql, mark, _ = handle.decode().rpartition(_MARK)
    except UnicodeDecodeError:
        mark = ""
    if not mark:
        raise InvalidArgument("unknown prepared statement")
    return sql


def new_plan_handle(plan: bytes) -> bytes:
    """A unique handle for a Substrait plan."""
    return _PLAN_MARK + uuid.uuid4().bytes + plan


def plan_of(handle: bytes) -> bytes | None:
    """The Substrait plan behind a handle, if that is what it holds."""
    return handle[len(_PLAN_MARK) + 16 :] if handle.startswith(_PLAN_MARK) else None


class BoundParameters(ExpiringMap[bytes, pa.Table]):
    """Parameters by handle: a table with a row for each run of the statement. All of them together take a bounded
    number of bytes."""

    def __init__(self, **limits: Any) -> None:
        """Takes the limits of an ExpiringMap."""
        super().__init__(size_of=bound_bytes, **limits)


def bound_bytes(handle: bytes, parameters: pa.Table) -> int:
    """Memory that parameters take while they are kept."""
    return len(handle) + int(parameters.get_total_buffer_size())
