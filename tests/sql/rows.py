"""The rows of statements."""

from typing import Any

import pyarrow as pa

from udtf.sql.engine import QueryEngine


def table(engine: QueryEngine, sql: str) -> pa.Table:
    """The result of a statement."""
    query = engine.plan(sql)
    return pa.Table.from_batches(list(query.batches()), query.schema)


def rows(engine: QueryEngine, sql: str) -> list[dict[str, Any]]:
    """The rows of a statement."""
    found: list[dict[str, Any]] = table(engine, sql).to_pylist()
    return found
