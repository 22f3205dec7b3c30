"""Queries that run, by their id, so that another call can cancel them."""

import re
import uuid
from collections import defaultdict
from threading import Condition
from typing import Protocol

from flightsrv.policy.expiring import ExpiringMap
from udtf.errors import InvalidArgument
from udtf.execution.cancellation import QueryCancelled

_QUERY_ID = re.compile(r"[0-9a-f]{16}")


def new_query_id() -> str:
    """An id that cannot be guessed."""
    return uuid.uuid4().hex[:16]


class Cancellable(Protocol):
    """A call that runs a query."""

    def cancel(self) -> None: ...


class RunningQueries:
    """Calls by the id of the query that they run; several may run the same one. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._calls: defaultdict[str, set[Cancellable]] = defaultdict(set)
        self._cancelled: ExpiringMap[str, bool] = ExpiringMap()

    def enter(self, query_id: str, call: Cancellable) -> None:
        """Note that a call runs a query.

        Raises:
            InvalidArgument: it is no id of a query.
            QueryCancelled: the query was cancelled before.
        """
        _check_id(query_id)
        with self._changed:
            if self._cancelled.get(query_id):
                raise QueryCancelled("the query was cancelled")
            self._calls[query_id].add(call)

    def leave(self, query_id: str, call: Cancellable) -> None:
        """Note that a call has ended."""
        with self._changed:
            self._calls[query_id].discard(call)
            if not self._calls[query_id]:
                del self._calls[query_id]
            self._changed.notify_all()

    def cancel(self, query_id: str, patience_s: float) -> bool:
        """Cancel the calls that run a query, and those to come; tell whether all have ended before patience has.

        Raises:
            InvalidArgument: it is no id of a query.
        """
        _check_id(query_id)
        with self._changed:
            self._cancelled.put(query_id, True)
            for call in self._calls.get(query_id, ()):
                call.cancel()
            return self._changed.wait_for(lambda: query_id not in self._calls, patience_s)


def _check_id(query_id: str) -> None:
    if not _QUERY_ID.fullmatch(query_id):
        raise InvalidArgument("the ticket has no valid id of a query")
