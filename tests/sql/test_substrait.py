"""What is let through of logical plans."""

from pathlib import Path

import datafusion
import pyarrow as pa
import pytest

from udtf.errors import InvalidArgument
from udtf.sql.worker.substrait import check_reads_only


@pytest.fixture
def context() -> datafusion.SessionContext:
    """A session with a table `t` that can be written to."""
    made = datafusion.SessionContext()
    made.register_record_batches("t", [[pa.record_batch({"a": [1]})]])
    return made


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE a > 1 ORDER BY a LIMIT 1",
        "SELECT a, row_number() OVER (ORDER BY a) FROM t",
        "SELECT a, count(*) FROM (SELECT DISTINCT x.a FROM t x JOIN t y ON x.a = y.a) GROUP BY a",
        "SELECT * FROM (VALUES (1), (2)) UNION ALL SELECT unnest([a]) FROM t",
    ],
)
def test_plans_that_read_are_let_through(context: datafusion.SessionContext, sql: str) -> None:
    """Whatever they compute."""
    check_reads_only(context.sql(sql).logical_plan())


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT * FROM t",
        "EXPLAIN INSERT INTO t SELECT * FROM t",
        "EXPLAIN ANALYZE INSERT INTO t SELECT * FROM t",
        "COPY t TO '{}/copy.csv'",
        "EXPLAIN CREATE TABLE u AS SELECT * FROM t",
    ],
)
def test_plans_that_change_something_are_not(context: datafusion.SessionContext, tmp_path: Path, sql: str) -> None:
    """Nor those that would tell how they would change it."""
    with pytest.raises(InvalidArgument, match="may only read"):
        check_reads_only(context.sql(sql.format(tmp_path)).logical_plan())
