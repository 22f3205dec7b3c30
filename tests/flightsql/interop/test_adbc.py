"""What ADBC offers beyond questions: ingestion in all modes, objects, partitions, prepared statements, deadlines."""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pytest
from adbc_driver_flightsql import ConnectionOptions, StatementOptions

import flightsrv
from flightsrv.flight.transports.transport import TransportName
from flightsrv.server.lifecycle import RunningServer
from tests.server.fakes import TIMEOUT_S, FakeEngine
from tests.server.telemetry import Recording

Mode = Literal["append", "create", "replace", "create_append"]


@pytest.fixture
def dbapi(server: RunningServer) -> Iterator[adbc.Connection]:
    """A connection to the real server."""
    with adbc.connect(server.url, autocommit=True) as connected:
        yield connected


def answer(connection: adbc.Connection, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


# ---- Ingestion


@pytest.mark.parametrize("mode", ["append", "create_append"])
@pytest.mark.parametrize("kind", ["table", "batch", "reader"])
def test_rows_are_ingested(dbapi: adbc.Connection, mode: Mode, kind: str) -> None:
    """In modes that append, from whatever holds rows, into the place by its full name or without."""
    recording = Recording()
    for number, (table, batch) in enumerate(recording.tables().items()):
        rows = pa.Table.from_batches([batch])
        data = {"table": rows, "batch": batch, "reader": rows.to_reader()}[kind]
        place = {"catalog_name": "datafusion", "db_schema_name": "public"} if number % 2 else {}
        with dbapi.cursor() as cursor:
            assert cursor.adbc_ingest(table, data, mode=mode, **place) == batch.num_rows
    assert answer(dbapi, "SELECT count(*) FROM process_spans(?, 'both')", recording.process_id) == [(2,)]


@pytest.mark.parametrize(
    ("mode", "code", "message"),
    [
        ("create", "ALREADY_EXISTS", "already exists"),
        ("replace", "INVALID_ARGUMENT", "cannot be replaced, only appended to"),
    ],
)
def test_modes_that_would_change_more_than_rows_are_refused(
    dbapi: adbc.Connection, transport: TransportName, mode: Mode, code: str, message: str
) -> None:
    """As a mistake of the client, before a row is stored."""
    recording = Recording()
    with dbapi.cursor() as cursor, pytest.raises(adbc_driver_manager.ProgrammingError, match=message) as refused:
        cursor.adbc_ingest("processes", recording.processes, mode=mode)
    # pyarrow.flight has no error for what exists already.
    assert refused.value.status_code.name == ("INVALID_ARGUMENT" if transport == "pyarrow" else code)
    assert answer(dbapi, "SELECT count(*) FROM processes WHERE process_id = ?", recording.process_id) == [(0,)]


def test_ingestion_elsewhere_is_refused(dbapi: adbc.Connection) -> None:
    """Other tables, places, and tables that do not last."""
    rows = Recording().processes
    with dbapi.cursor() as cursor:
        with pytest.raises(adbc_driver_manager.ProgrammingError, match="cannot be created"):
            cursor.adbc_ingest("stolen", rows, mode="create")
        with pytest.raises(adbc_driver_manager.ProgrammingError, match="no table 'stolen'"):
            cursor.adbc_ingest("stolen", rows, mode="append")
        with pytest.raises(adbc_driver_manager.ProgrammingError, match="temporary"):
            cursor.adbc_ingest("processes", rows, mode="append", temporary=True)
        with pytest.raises(adbc_driver_manager.ProgrammingError, match="no schema 'information_schema'"):
            cursor.adbc_ingest("processes", rows, mode="append", db_schema_name="information_schema")


def test_rows_of_a_low_level_statement_are_ingested(server: RunningServer) -> None:
    """By options, as drivers of other languages do it."""
    recording = Recording()
    with (
        adbc_driver_flightsql.connect(server.url) as database,
        adbc_driver_manager.AdbcConnection(database) as connection,
        adbc_driver_manager.AdbcStatement(connection) as statement,
    ):
        statement.set_options(
            **{
                adbc_driver_manager.StatementOptions.INGEST_TARGET_TABLE.value: "processes",
                adbc_driver_manager.StatementOptions.INGEST_MODE.value: "adbc.ingest.mode.append",
            }
        )
        statement.bind(recording.processes)
        assert statement.execute_update() == 1


# ---- What there is


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, {"blocks", "processes", "streams"}),
        ({"table_name_filter": "%oc%"}, {"blocks", "processes"}),
        ({"table_types_filter": ["VIEW"]}, set()),
        ({"table_types_filter": ["BASE TABLE"], "table_name_filter": "streams"}, {"streams"}),
        ({"table_types_filter": ["TABLE"], "table_name_filter": "streams"}, {"streams"}),
    ],
)
def test_objects_are_filtered(dbapi: adbc.Connection, filters: dict[str, Any], names: set[str]) -> None:
    """At the depth of columns, which asks for every schema there is."""
    found = dbapi.adbc_get_objects(depth="all", catalog_filter="datafusion", db_schema_filter="public", **filters)
    (catalog,) = found.read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    assert {table["table_name"] for table in schema["db_schema_tables"]} == names
    for table in schema["db_schema_tables"]:
        assert {"process_id"} <= {column["column_name"] for column in table["table_columns"]}
        assert table["table_constraints"] == []


def test_abilities_are_told(dbapi: adbc.Connection) -> None:
    """By the names that ADBC has for them."""
    told = dbapi.adbc_get_info()
    assert told["vendor_name"] == "flightsrv"
    assert told["vendor_version"] == flightsrv.__version__
    assert told["vendor_arrow_version"] == pa.__version__


# ---- Statements


def test_statement_is_prepared_once_and_run_with_many_rows(dbapi: adbc.Connection) -> None:
    """With types that the statement settles; each row is a run."""
    with dbapi.cursor() as cursor:
        sql = "SELECT ? + 1 AS n, upper(?) AS t, ? > now() AS late"
        assert cursor.adbc_prepare(sql).types == [pa.int64(), pa.utf8(), pa.timestamp("ns", "UTC")]
        times = pa.array(["2025-01-01T00:00:00Z", "2200-01-01T00:00:00Z"]).cast(pa.timestamp("ns", "UTC"))
        cursor.execute(sql, pa.record_batch([pa.array([1, None]), pa.array(["a", "b"]), times], names=["0", "1", "2"]))
        assert cursor.fetchall() == [(2, "A", False), (None, "B", True)]
        cursor.execute(sql, (5, "c", None))
        assert cursor.fetchall() == [(6, "C", None)]


def test_schema_is_told_without_running(dbapi: adbc.Connection) -> None:
    """Of a trace that does not exist, with parameters that are not there."""
    with dbapi.cursor() as cursor:
        sql = "SELECT * FROM perfetto_trace_chunks(?, 'both', ?, ?)"
        schema = cursor.adbc_execute_schema(sql)
        assert schema.names == ["chunk_id", "chunk_data"]
        assert not schema.field("chunk_id").nullable


def test_partitions_of_functions_are_read_elsewhere(server: RunningServer, recording: Recording) -> None:
    """Each on a connection of its own, at the same time."""
    with adbc.connect(server.url, autocommit=True) as first, first.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(
            "SELECT name FROM process_spans(?, 'both') ORDER BY name", (recording.process_id,)
        )
    assert schema is not None
    assert schema.names == ["name"]

    def read(partition: bytes) -> list[tuple[Any, ...]]:
        with adbc.connect(server.url, autocommit=True) as other, other.cursor() as reading:
            reading.adbc_read_partition(partition)
            return reading.fetchall()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, partitions * 3)) == [[("inner",), ("outer",)]] * 3


def test_partitions_are_asked_for_until_there_are_no_more(
    server: RunningServer, transport: TransportName, recording: Recording
) -> None:
    """By PollFlightInfo, which has all of them at once."""
    if transport == "pyarrow":
        pytest.skip("pyarrow.flight has no PollFlightInfo")
    options = adbc_driver_manager.StatementOptions
    with adbc.connect(server.url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{options.INCREMENTAL.value: "true"})
        sql = f"SELECT name FROM process_spans('{recording.process_id}', 'both') ORDER BY name"
        (partition,), schema = cursor.adbc_execute_partitions(sql)
        assert schema is not None
        assert schema.names == ["name"]
        assert cursor.adbc_statement.get_option_float(options.PROGRESS.value) == 1.0
        assert cursor.adbc_execute_partitions(sql)[0] == []
        cursor.adbc_read_partition(partition)
        assert cursor.fetchall() == [("inner",), ("outer",)]


def test_connection_without_autocommit_works(server: RunningServer) -> None:
    """As DB-API has it by default: the driver warns that there are no transactions, and goes on."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with adbc.connect(server.url) as connection:
            assert answer(connection, "SELECT count(*) >= 0 FROM processes") == [(True,)]
            recording = Recording()
            with connection.cursor() as cursor:
                assert cursor.adbc_ingest("processes", recording.processes, mode="append") == 1
            assert answer(connection, "SELECT count(*) FROM processes WHERE process_id = ?", recording.process_id) == [
                (1,)
            ]
    assert any("autocommit" in str(warning.message) for warning in told)


# ---- Deadlines


def test_deadline_of_rows_ends_the_work(fake_server: RunningServer, engine: FakeEngine) -> None:
    """The client gives up, and so does the server."""
    with adbc.connect(fake_server.url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{StatementOptions.TIMEOUT_FETCH.value: "0.2"})
        cursor.execute("wait")
        with pytest.raises(adbc_driver_manager.Error, match=r"(?i)deadline|timeout|timed out"):
            cursor.fetchall()
        assert engine.ended.wait(TIMEOUT_S)


def test_deadlines_that_suffice_are_no_trouble(server: RunningServer, recording: Recording) -> None:
    """Of every kind that there is."""
    options = (ConnectionOptions.TIMEOUT_FETCH, ConnectionOptions.TIMEOUT_QUERY, ConnectionOptions.TIMEOUT_UPDATE)
    conn_kwargs = {option.value: "30" for option in options}
    with adbc.connect(server.url, conn_kwargs=conn_kwargs, autocommit=True) as connection:
        assert answer(connection, "SELECT count(*) FROM process_spans(?, 'both')", recording.process_id) == [(2,)]
        with connection.cursor() as cursor:
            assert cursor.adbc_ingest("processes", Recording().processes, mode="append") == 1
