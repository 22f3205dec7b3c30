"""Handles of prepared statements, which hold the statement itself.

A handle is the statement followed by a comment that makes it unique, so any server process can run it, and a client
that takes the handle for SQL text is right too. Only bound parameters live in the process.
"""

import uuid

from udtf.errors import InvalidArgument

_MARK = "\n/*ps:"
_PLAN_MARK = b"\0plan:"


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
