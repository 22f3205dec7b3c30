"""What SQLAlchemy finds out about our tables by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.server.lifecycle import RunningServer
from tests.flightsql.interop.asking import SqlalchemyOverFlightsqlDbapi
from udtf.functions import blocks_table
from udtf.lake import schemas


@pytest.fixture(scope="module")
def sqlalchemy(server: RunningServer, installed: Path) -> Iterator[SqlalchemyOverFlightsqlDbapi]:
    """SQLAlchemy in a process of its own."""
    client = SqlalchemyOverFlightsqlDbapi(server.url, installed)
    yield client
    client.close()


@pytest.mark.parametrize(
    ("table", "schema"),
    [("processes", schemas.PROCESSES), ("streams", schemas.STREAMS), ("blocks", blocks_table.COLUMNS)],
)
def test_columns_are_reflected(sqlalchemy: SqlalchemyOverFlightsqlDbapi, table: str, schema: object) -> None:
    """From the schema in the list of tables."""
    assert sqlalchemy.request(ask="columns", table=table) == getattr(schema, "names", None)
