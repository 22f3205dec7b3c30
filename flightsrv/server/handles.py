"""Handles of prepared statements, which hold the statement itself, and the parameters bound to them.

A handle is the statement followed by a comment that makes it unique, so any server process can run it, and a client
that takes the handle for SQL text is right too. Only bound parameters live in the process; they are forgotten when
the statement is closed, and some time after their last use for the clients that never close.
"""

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import pyarrow as pa

from udtf.errors import InvalidArgument

_MARK = "\n/*ps:"

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
    try:
        sql, mark, _ = handle.decode().rpartition(_MARK)
    except UnicodeDecodeError:
        mark = ""
    if not mark:
        raise InvalidArgument("unknown prepared statement")
    return sql


class BoundParameters:
    """Parameters by handle: a table of one row for each run of the statement. Safe to use from many threads."""

    def __init__(
        self,
        *,
        lifetime_s: float = 3600.0,
        max_entries: int = 10_000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime_s = lifetime_s
        self._max_entries = max_entries
        self._clock_s = clock_s
        self._lock = Lock()
        # The one used longest ago comes first.
        self._entries: OrderedDict[bytes, tuple[float, pa.Table]] = OrderedDict()

    def bind(self, handle: bytes, parameters: pa.Table) -> None:
        """Bind parameters to a statement in place of those bound before."""
        with self._lock:
            self._entries[handle] = (self._clock_s(), parameters)
            self._entries.move_to_end(handle)
            self._forget_old()

    def get(self, handle: bytes) -> pa.Table | None:
        """The parameters bound to a statement."""
        with self._lock:
            self._forget_old()
            if handle not in self._entries:
                return None
            parameters = self._entries[handle][1]
            self._entries[handle] = (self._clock_s(), parameters)
            self._entries.move_to_end(handle)
            return parameters

    def forget(self, handle: bytes) -> None:
        """Forget the parameters of a statement, if there are any."""
        with self._lock:
            self._entries.pop(handle, None)

    def _forget_old(self) -> None:
        oldest_s = self._clock_s() - self._lifetime_s
        while self._entries:
            handle, (used_s, _) = next(iter(self._entries.items()))
            if used_s >= oldest_s and len(self._entries) <= self._max_entries:
                return
            del self._entries[handle]
