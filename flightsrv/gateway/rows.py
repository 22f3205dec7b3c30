"""Small answers of the server as Python values."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flightsrv.client import QueryClient

TIMEOUT_SECONDS = 60.0
"""A server that answers no more must not hold the threads that ask it."""


def placeholders(count: int, first: int = 1) -> str:
    """So many parameters of a statement, in a list for IN, numbered from the first."""
    return ", ".join(f"${number}" for number in range(first, first + count))


def query_table(client: QueryClient, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
    """The rows of a query."""
    return client.query(sql, parameters or None, timeout_seconds=TIMEOUT_SECONDS)


def query_rows(client: QueryClient, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The same as dicts, maps in them, too."""
    rows: list[dict[str, Any]] = query_table(client, sql, parameters).to_pylist(maps_as_pydicts="strict")
    return rows
