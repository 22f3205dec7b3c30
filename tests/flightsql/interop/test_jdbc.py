"""What tools over JDBC find out by themselves: tables, columns, and all that DatabaseMetaData asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flightsrv
from flightsrv.server.lifecycle import RunningServer
from tests.flightsql.interop.asking import Jdbc
from tests.server.telemetry import Recording
from udtf.functions.blocks_table import COLUMNS as BLOCKS
from udtf.lake import schemas


@pytest.fixture(scope="module")
def jdbc(server: RunningServer, installed: Path) -> Iterator[Jdbc]:
    """A connection, in a process of its own."""
    client = Jdbc(server.url, installed)
    yield client
    client.close()


def test_database_is_described(jdbc: Jdbc) -> None:
    """By every method of DatabaseMetaData that takes no arguments: none fails."""
    (told,) = jdbc.request(ask="metadata")
    assert {name: value for name, value in told.items() if str(value).startswith("error")} == {}
    assert len(told) > 100
    expected = {
        "getDatabaseProductName": "flightsrv",
        "getDatabaseProductVersion": flightsrv.__version__,
        "getIdentifierQuoteString": '"',
        "isReadOnly": True,
        "supportsTransactions": False,
        "supportsGroupBy": True,
        "getCatalogs": 1,
        "getSchemas": 2,
        "getTableTypes": 2,
    }
    assert {name: told[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("table", "schema"),
    [("processes", schemas.PROCESSES), ("streams", schemas.STREAMS), ("blocks", BLOCKS)],
)
def test_columns_are_described(jdbc: Jdbc, table: str, schema: Any) -> None:
    """With types, sizes, and whether they may be null."""
    columns = {row["COLUMN_NAME"]: row for row in jdbc.request(ask="columns", table=table)}
    assert list(columns) == schema.names
    assert {row["TABLE_NAME"] for row in columns.values()} == {table}
    for field in schema:
        assert columns[field.name]["IS_NULLABLE"] == ("YES" if field.nullable else "NO")
        assert columns[field.name]["IS_AUTOINCREMENT"] == "NO"
    assert columns["insert_time"]["TYPE_NAME"] == "TIMESTAMP"
    assert columns["insert_time"]["REMARKS"].startswith("when the ")


def test_columns_of_results_are_described(jdbc: Jdbc, recording: Recording) -> None:
    """With the table that they come from, and the digits of numbers. (Of a result without rows the driver tells each
    column twice.)"""
    told = jdbc.request(
        ask="described", sql="SELECT exe, start_ticks AS s, 1.5::decimal(5, 2) AS d FROM processes LIMIT 1"
    )
    assert told == [
        {"name": "exe", "type": "VARCHAR", "table": "processes", "precision": 0, "scale": 0, "read_only": True},
        {"name": "s", "type": "BIGINT", "table": "processes", "precision": 19, "scale": 0, "read_only": True},
        {"name": "d", "type": "DECIMAL", "table": None, "precision": 5, "scale": 2, "read_only": True},
    ]


def test_first_look_of_a_browser_of_databases(jdbc: Jdbc) -> None:
    """Some rows of each table, but for times with a zone, which the driver does not show."""
    for table, columns in (("streams", "stream_id, tags, properties"), ("blocks", "block_id, nb_objects")):
        assert jdbc.ask(f"SELECT {columns} FROM {table} LIMIT 200") is not None
    local = "SELECT arrow_cast(start_time, 'Timestamp(ns)') AS t FROM processes LIMIT 1"
    assert isinstance(jdbc.ask(local), list)


def test_large_hashes_are_positive(jdbc: Jdbc, recording: Recording) -> None:
    """All 32 bits of them, and row numbers as well."""
    rows = jdbc.ask(
        "SELECT hash, depth, line, row_number() OVER (ORDER BY begin) AS n, 4294967295 AS most "
        "FROM process_spans(?, 'thread') ORDER BY begin",
        [recording.process_id],
    )
    assert [(row["depth"], row["line"], row["n"]) for row in rows] == [(0, 1, 1), (1, 2, 2)]
    assert all(0 <= row["hash"] < 1 << 32 for row in rows)


def test_times_are_bound_as_text(jdbc: Jdbc, recording: Recording) -> None:
    """For the driver binds milliseconds as nanoseconds."""
    sql = "SELECT count(*) > 0 AS found FROM processes WHERE start_time > CAST(CAST(? AS VARCHAR) AS TIMESTAMP)"
    assert jdbc.ask(sql, ["2025-01-01"]) == [{"found": True}]
    assert jdbc.ask(sql, ["2200-01-01"]) == [{"found": False}]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("INTERVAL '1 day'", "P1D PT0S"),
        ("[1, NULL]", "[1,null]"),
        ("map(['a'], ['b'])", '{"a":"b"}'),
        ("named_struct('a', 1)", '{"a":1}'),
        ("arrow_cast([1], 'ListView(Int8)')", "[1]"),
        ("1.5::decimal(5, 2)", 1.5),
        ("X'00ff'", "00ff"),
        ("DATE '2026-01-01'", "2026-01-01"),
        ("TIMESTAMP '2026-01-01T00:00:00'", "2026-01-01 00:00:00.0"),
        ("NULL", None),
        ("arrow_cast(3064629554, 'UInt32')", 3064629554),
    ],
)
def test_values_are_shown(jdbc: Jdbc, expression: str, value: object) -> None:
    """Those of types that the driver knows."""
    assert jdbc.ask(f"SELECT {expression} AS v") == [{"v": value}]
