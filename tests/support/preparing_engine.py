"""An engine for tests, which prepares each statement that it plans: clients do one or the other."""

from collections.abc import Callable
from typing import TypeVar

from udtf.errors import UdtfError
from udtf.functions.query_context import QueryContext
from udtf.sql.engine import Query, QueryEngine

T = TypeVar("T")


class PreparingEngine(QueryEngine):
    """A query engine that asserts that a statement has the same columns prepared as planned, or is refused alike."""

    def plan(self, sql: str, context: QueryContext | None = None) -> Query:
        """As that of QueryEngine."""
        prepared, refusal = _outcome(lambda: self.prepare(sql, context))
        planned, error = _outcome(lambda: super(PreparingEngine, self).plan(sql, context))
        assert (type(refusal), str(refusal)) == (type(error), str(error)), sql
        if planned is None:
            assert error is not None
            raise error
        assert prepared is not None
        assert prepared.schema.equals(planned.schema, check_metadata=True), sql
        return planned


def _outcome(act: Callable[[], T]) -> tuple[T | None, UdtfError | None]:
    try:
        return act(), None
    except UdtfError as error:
        return None, error
