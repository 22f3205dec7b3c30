"""One call of a client, as handlers see it, whatever the transport."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Literal

import pyarrow as pa

from flightsrv.flight.errors import Status, status_of
from flightsrv.flight.memory import MemoryWatch
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.bound_parameters import BoundParameters
from flightsrv.policy.errors import Draining, QueryTimedOut
from flightsrv.policy.expiring import ExpiringStore
from flightsrv.policy.headers import CallOptions
from flightsrv.policy.limits import CallLimits
from flightsrv.policy.running import RunningQueries, new_query_id
from flightsrv.policy.sessions import SessionOptions, Sessions
from udtf.errors import LimitExceeded
from udtf.execution.admission import Admission
from udtf.execution.cancellation import QueryCancelled
from udtf.functions.namespace import DEFAULT_SCHEMA
from udtf.functions.query_context import QueryContext
from udtf.lake.lake import Lake
from udtf.lake.time_range import TimeRange
from udtf.observability.query_log import MAX_STATEMENT_CHARS, QueryLog, QueryRecord
from udtf.sql.engine import QueryEngine

log = logging.getLogger(__name__)

MAX_LOGGED_CHARS = 200

Outcome = Literal["ok", "failed", "cancelled"]
ProgressMessage = dict[str, object]
"""A small JSON object with a `type`, from the plan of a query to the client."""


@dataclass(frozen=True)
class Services:
    """What all calls share."""

    engine: QueryEngine
    lake: Lake
    bound: ExpiringStore[bytes, pa.Table] = field(default_factory=BoundParameters)
    running: RunningQueries = field(default_factory=RunningQueries)
    sessions: ExpiringStore[str, SessionOptions] = field(default_factory=Sessions)
    limits: CallLimits = field(default_factory=CallLimits)
    query_log: QueryLog = field(default_factory=QueryLog)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        admission = Admission("queries are under way", self.limits.max_queries, self.limits.max_wait_s)
        object.__setattr__(self, "admission", admission)


class Call:
    """A call in flight.

    Handlers note what the call is about: `kind`, `statement`, `rows`, `size_bytes`; queries add to its `tally`. Its
    `outcome` stays None for a call that planned a statement without running it.

    `is_cancelled` may be asked from any thread and at any time: the transport's own answer is only asked while the
    call lasts.
    """

    def __init__(
        self,
        services: Services,
        *,
        principal: Principal,
        peer: str,
        is_cancelled: Callable[[], bool],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.services = services
        self.principal = principal
        self.options = CallOptions()
        self.session_id = ""
        self.query_id = new_query_id()
        self._messages: SimpleQueue[ProgressMessage] = SimpleQueue()
        self.kind: Literal["query", "ingestion"] = "query"
        self.statement: str | None = None
        self.rows = 0
        self.size_bytes = 0
        self.tally = services.lake.metrics.tally()
        self.outcome: Outcome | None = None
        self._error: str | None = None
        self._peer = peer
        self._begin_ns = time.time_ns()
        self._begin_s = time.monotonic()
        self._end_s: float | None = None
        self._is_admitted = False
        self._memory = MemoryWatch()
        self._is_left = is_cancelled
        self._is_stopping = is_stopping
        self._lock = Lock()
        self._cancelled = False
        self._finished = False

    def is_cancelled(self) -> bool:
        """Whether the caller has left, or the server cannot wait."""
        with self._lock:
            return self._finished or self._cancelled or self._is_late() or self._is_stopping() or self._is_left()

    def cancel(self) -> None:
        """End the work as if the client had left, but tell it."""
        self._cancelled = True

    def run(self, query_id: str) -> None:
        """Take the id of the query that the call is about, so that it can be cancelled by that.

        Raises:
            InvalidArgument: it is no id of a query.
            QueryCancelled: it was cancelled before.
        """
        self.services.running.enter(query_id, self)
        self.query_id = query_id

    def admit(self) -> None:
        """Wait until the statement of the call may run; its time counts from then on. Others run at once.

        Raises:
            Overloaded: too many others run.
            QueryCancelled: the call was cancelled during the wait.
        """
        if self.statement is None:
            return
        self.services.admission.enter(self.is_cancelled)
        self._is_admitted = True
        if self.services.limits.max_query_s is not None:
            self._end_s = time.monotonic() + self.services.limits.max_query_s

    def count(self, rows: int, size_bytes: int) -> None:
        """Note what is about to leave.

        Raises:
            LimitExceeded: it would be more than a result may have.
        """
        most = self.services.limits.max_result_bytes
        if most is not None and self.size_bytes + size_bytes > most:
            raise LimitExceeded(
                f"the result is larger than the {most >> 20} MiB that this server allows; "
                "look at less time, select fewer columns, or aggregate"
            )
        self.rows += rows
        self.size_bytes += size_bytes

    def watch_memory(self) -> None:
        """See how much memory there is at this moment; to be called now and then."""
        self._memory.look()

    def session_options(self) -> SessionOptions:
        """The options of the session that the call belongs to."""
        return self.services.sessions.get(self.session_id) or {}

    def query_context(self, time_range: TimeRange | None, db_schema: str | None, *, strict: bool) -> QueryContext:
        """The context to plan a statement in. Its messages are kept for a caller who asked for progress.

        Raises:
            PermissionDenied: the caller may not read.
        """
        self.principal.require(Role.READER, "to run a statement")
        context = QueryContext(
            time_range=time_range,
            strict=strict,
            tally=self.tally,
            db_schema=db_schema or DEFAULT_SCHEMA,
            visible_processes=self.principal.visible_processes,
            may_administer=self.principal.may(Role.ADMIN),
            is_cancelled=self.is_cancelled,
            query_log=self.services.query_log,
        )
        return replace(context, on_message=self._messages.put) if self.options.progress else context

    def pending_messages(self) -> list[ProgressMessage]:
        """Take the messages that came since the last time."""
        taken: list[ProgressMessage] = []
        while True:
            try:
                taken.append(self._messages.get_nowait())
            except Empty:
                return taken

    def succeed(self) -> None:
        """Note that all has been done."""
        self.outcome = "ok"

    def leave(self) -> None:
        """Note that the client left before the end."""
        self.outcome = "cancelled"

    def failure(self, error: BaseException) -> Status:
        """How this call ends for its client, by the exception that ended it."""
        if isinstance(error, QueryCancelled) and self._is_stopping():
            error = Draining("the server is stopping and could not finish the query; try again in a moment")
        elif isinstance(error, QueryCancelled) and self._is_late():
            error = QueryTimedOut(
                f"the query ran for {self.services.limits.max_query_s:g} s, as long as this server allows; "
                "look at less time, or filter before joining or sorting"
            )
        if isinstance(error, QueryCancelled):
            self.outcome = "cancelled"
        else:
            self.outcome, self._error = "failed", type(error).__name__
            self.services.lake.metrics.errors.labels(self._error).inc()
        return status_of(error, self.query_id)

    def finish(self) -> None:
        """Mark the end of the call; count and log the statement that it was about."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
        self.services.running.leave(self.query_id, self)
        if self._is_admitted:
            self.services.admission.leave()
        if self.statement is not None and self.outcome is not None:
            seconds = time.monotonic() - self._begin_s
            self.services.lake.metrics.call_ended(self.kind, self.outcome, seconds, self.rows, self.size_bytes)
            amounts = str(self.tally.amounts)
            self.services.query_log.add(self._record(self.statement, self.outcome, seconds))
            log.info(
                "query %s from %s%s: %s%s, %d rows, %d bytes, %.1f ms%s: %s",
                self.query_id,
                self._peer,
                f" ({self.principal.name})" if self.principal.name else "",
                self.outcome,
                f", {self._error}" if self._error else "",
                self.rows,
                self.size_bytes,
                seconds * 1e3,
                f" ({amounts})" if amounts else "",
                " ".join(self.statement[: MAX_LOGGED_CHARS * 2].split())[:MAX_LOGGED_CHARS],
            )

    def _is_late(self) -> bool:
        return self._end_s is not None and time.monotonic() > self._end_s

    def _record(self, statement: str, outcome: Outcome, seconds: float) -> QueryRecord:
        return QueryRecord(
            self.query_id,
            self.principal.name,
            self._peer,
            self.kind,
            statement[:MAX_STATEMENT_CHARS],
            self._begin_ns,
            round(seconds * 1e9),
            self.rows,
            self.size_bytes,
            outcome,
            self._error,
            self._memory.growth_bytes + self.tally.amounts.worker_bytes,
        )
