"""Panics of the engine."""

from collections.abc import Iterator, Mapping

import datafusion
import pyarrow as pa
import pytest

from udtf.errors import InvalidArgument
from udtf.sql.messages import Plan
from udtf.sql.panics import EnginePanic, panics_as_errors
from udtf.sql.tables import Catalog, PlannedTable, SessionLimits, TableScan
from udtf.sql.worker import session as worker_session
from udtf.sql.worker.session import Session
from udtf.sql.worker.substrait import read_plan


class NoTables:
    """Of a session that has none."""

    def plan(self, function: str, values: Mapping[str, str | int]) -> PlannedTable:
        raise InvalidArgument(function)

    def scan(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        raise InvalidArgument(str(scan.key))


NO_TABLES = NoTables()
PLAN_WITH_A_ROOT_OF_NOTHING = b"\x1a\x02\x12\x00"


def test_panic_becomes_an_exception() -> None:
    """One that handlers of exceptions see."""
    with pytest.raises(EnginePanic, match="unwrap"), panics_as_errors():
        read_plan(PLAN_WITH_A_ROOT_OF_NOTHING, datafusion.SessionContext())


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()], ids=repr)
def test_other_exceptions_pass(error: BaseException) -> None:
    """As they are."""
    with pytest.raises(type(error)) as raised, panics_as_errors():
        raise error
    assert raised.value is error


# With refusals out of the way, these are mistakes of DataFusion's: a panic on another thread, and a check that fails.
ROWS = "(VALUES (1, 2, 6), (1, 1, 3), (2, 4, 12)) AS t(g, k, v)"
MISTAKES = [
    f"SELECT g, avg(v ORDER BY k) FROM {ROWS} GROUP BY g",
    f"SELECT g, median(v ORDER BY k) FROM {ROWS} GROUP BY g",
]


@pytest.mark.parametrize("sql", MISTAKES)
def test_panics_on_other_threads_are_none_of_the_statement(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told apart from what is wrong with a statement, and the session goes on."""
    monkeypatch.setattr(worker_session, "check_ordered_aggregates", lambda sql: None)
    session = Session(Catalog({}, {}), SessionLimits(1 << 26, 1 << 26), NO_TABLES, "public")
    session.plan(Plan(sql, "public"))
    with pytest.raises(EnginePanic, match="panicked"):
        list(session.batches())
    with pytest.raises(InvalidArgument, match="Cannot cast string 'External error: task 1 panicked'"):
        session.plan(Plan("SELECT 'External error: task 1 panicked'::int", "public"))
    session.plan(Plan("SELECT 7 AS n", "public"))
    assert [batch.to_pylist() for batch in session.batches()] == [[{"n": 7}]]
