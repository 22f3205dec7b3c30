"""What a statement is told besides its text."""

from collections.abc import Callable
from dataclasses import dataclass

from udtf.metrics import QueryTally
from udtf.sql.catalog import DEFAULT_SCHEMA
from udtf.time_range import WHOLE_LIFE, TimeRange


def _ignore(message: dict[str, object]) -> None:
    pass


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
    """

    time_range: TimeRange | None = None
    strict: bool = False
    on_message: Callable[[dict[str, object]], None] = _ignore
    tally: QueryTally | None = None
    db_schema: str = DEFAULT_SCHEMA

    @property
    def range(self) -> TimeRange:
        return self.time_range or WHOLE_LIFE
