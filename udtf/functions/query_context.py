"""What a statement is told besides its text."""

from collections.abc import Callable
from dataclasses import dataclass, field

from udtf.functions.namespace import DEFAULT_SCHEMA
from udtf.lake.time_range import ALL_TIME, TimeRange
from udtf.observability.metrics import QueryTally
from udtf.observability.query_log import QueryLog


def _ignore(message: dict[str, object]) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class QueryContext:
    """The call that a statement came with.

    Attributes:
        time_range: what views and `process_spans` show; None is the whole life of the process.
        strict: whether a thread that fails fails the trace.
        on_message: takes what is worth telling while the statement runs, as values that JSON can hold. Called from
            any thread.
        db_schema: where tables are looked for whose names are without a schema.
        tally: where what the statement takes is added up; None is a new one.
        visible_processes: ids of the processes that the caller may see; for the statement there are no others. None is
            all of them.
        may_administer: whether the caller may call the functions that are for administrators.
        is_cancelled: whether the caller has left; asked while the statement is planned.
        query_log: what `query_log()` shows.
    """

    time_range: TimeRange | None = None
    strict: bool = False
    on_message: Callable[[dict[str, object]], None] = _ignore
    tally: QueryTally | None = None
    db_schema: str = DEFAULT_SCHEMA
    visible_processes: frozenset[str] | None = None
    may_administer: bool = True
    is_cancelled: Callable[[], bool] = _never
    query_log: QueryLog = field(default_factory=QueryLog)

    @property
    def range(self) -> TimeRange:
        return self.time_range or ALL_TIME
