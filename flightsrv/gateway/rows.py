"""Small answers of the server as Python values."""

from collections.abc import Sequence
from typing import Any

from flightsrv.client import QueryClient


def query_rows(client: QueryClient, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query as dicts, maps in them, too."""
    rows: list[dict[str, Any]] = client.query(sql, parameters or None).to_pylist(maps_as_pydicts="strict")
    return rows
