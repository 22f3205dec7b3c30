"""Statements that would change something, or reach a file of the server, at every door that takes SQL."""

from collections.abc import Callable
from pathlib import Path

import adbc_driver_flightsql
import adbc_driver_manager
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.flightsql.handles import new_handle
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    TicketStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.flightsql.ingest_options import CREATE, REPLACE
from tests.server.clients import descriptor, put
from tests.server.telemetry import Recording

CHANGES = [
    "CREATE TABLE stolen (a INT)",
    "CREATE TABLE stolen AS SELECT * FROM processes",
    "CREATE TEMPORARY TABLE stolen AS SELECT 1",
    "CREATE VIEW stolen AS SELECT * FROM processes",
    "CREATE OR REPLACE VIEW processes AS SELECT 1 AS process_id",
    "CREATE EXTERNAL TABLE stolen STORED AS CSV LOCATION '{file}'",
    "CREATE EXTERNAL TABLE stolen (a TEXT) STORED AS CSV LOCATION '{file}'",
    "CREATE SCHEMA stolen",
    "CREATE DATABASE stolen",
    "CREATE FUNCTION stolen() RETURNS INT RETURN 1",
    "CREATE INDEX stolen ON processes (exe)",
    "DROP TABLE processes",
    "DROP VIEW IF EXISTS processes",
    "DROP SCHEMA public CASCADE",
    "DROP FUNCTION view_instance",
    "ALTER TABLE processes ADD COLUMN a INT",
    "TRUNCATE TABLE processes",
    "INSERT INTO processes SELECT * FROM processes",
    "WITH p AS (SELECT * FROM processes) INSERT INTO processes SELECT * FROM p",
    "UPDATE processes SET exe = 'x'",
    "DELETE FROM processes",
    "MERGE INTO processes USING streams ON true WHEN MATCHED THEN DELETE",
    "SELECT * INTO stolen FROM processes",
    "COPY processes TO '{file}'",
    "COPY (SELECT 'x') TO '{file}' STORED AS CSV",
    "COPY processes FROM '{file}'",
    "EXPLAIN COPY processes TO '{file}'",
    "EXPLAIN ANALYZE COPY processes TO '{file}'",
    "EXPLAIN ANALYZE INSERT INTO processes SELECT * FROM processes",
    "EXPLAIN CREATE TABLE stolen AS SELECT 1",
    "SET datafusion.catalog.default_schema = 'information_schema'",
    "SET TIME ZONE '+08:00'",
    "RESET datafusion.execution.batch_size",
    "PREPARE stolen AS SELECT 1",
    "EXECUTE stolen",
    "DEALLOCATE stolen",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1; DROP TABLE processes",
    "LOAD 'x'",
    "ATTACH 'x' AS y",
    "GRANT SELECT ON processes TO x",
    "ANALYZE TABLE processes COMPUTE STATISTICS",
    "VACUUM",
    "CALL stolen()",
    "USE information_schema",
]
FILES = [
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "SELECT * FROM 'file://{file}'",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM csv_scan('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_scan('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM view_instance('thread_spans', '{file}')",
    "SELECT pg_read_file('{file}')",
]


def info(connection: flight.FlightClient, sql: str) -> object:
    return connection.get_flight_info(descriptor(CommandStatementQuery(query=sql)))


def schema(connection: flight.FlightClient, sql: str) -> object:
    return connection.get_schema(descriptor(CommandStatementQuery(query=sql)))


def get(connection: flight.FlightClient, ticket: Message) -> pa.Table:
    return connection.do_get(flight.Ticket(pack(ticket))).read_all()


def ticket_of_sql(connection: flight.FlightClient, sql: str) -> object:
    return get(connection, TicketStatementQuery(statement_handle=sql.encode()))


def forged_ticket(connection: flight.FlightClient, sql: str) -> object:
    return get(connection, QueryTicket(sql=sql, query_id="0123456789abcdef"))


def prepare(connection: flight.FlightClient, sql: str) -> object:
    return list(
        connection.do_action(("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql))))
    )


def forged_handle(connection: flight.FlightClient, sql: str) -> object:
    return connection.get_flight_info(
        descriptor(CommandPreparedStatementQuery(prepared_statement_handle=new_handle(sql)))
    )


def state(connection: flight.FlightClient) -> list[pa.Table]:
    """What there is, as far as a statement could have changed it."""
    statements = (
        "SELECT count(*) FROM processes",
        "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2",
        "SELECT name, value FROM information_schema.df_settings ORDER BY 1",
        "SELECT routine_name FROM information_schema.routines ORDER BY 1",
    )
    return [get(connection, TicketStatementQuery(statement_handle=sql.encode())) for sql in statements]


DOORS = [info, schema, ticket_of_sql, forged_ticket, prepare, forged_handle]
Door = Callable[[flight.FlightClient, str], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that anybody could read but no query."""
    path = tmp_path / "secret.csv"
    path.write_text("a\nsecret\n")
    return path


@pytest.mark.parametrize("door", DOORS)
def test_statement_that_would_change_something_is_refused(
    connection: flight.FlightClient, door: Door, file: Path
) -> None:
    """As INVALID_ARGUMENT, before anything happens."""
    before = state(connection)
    for sql in CHANGES:
        with pytest.raises(pa.ArrowInvalid) as refused:
            door(connection, sql.format(file=file))
        assert "Traceback" not in str(refused.value), sql
    assert file.read_text() == "a\nsecret\n"
    assert list(file.parent.iterdir()) == [file]
    assert state(connection) == before


@pytest.mark.parametrize("door", DOORS)
def test_no_statement_reaches_a_file(connection: flight.FlightClient, door: Door, file: Path) -> None:
    """There is no such table, function or stream."""
    for sql in FILES:
        with pytest.raises((pa.ArrowInvalid, pa.ArrowKeyError)) as refused:
            door(connection, sql.format(file=file))
        assert "Traceback" not in str(refused.value), sql


def test_parameters_are_values_only(connection: flight.FlightClient) -> None:
    """Whatever they say, they stay text."""
    command = CommandPreparedStatementQuery(prepared_statement_handle=new_handle("SELECT ? AS value"))
    values = ["'; DROP TABLE processes; --", "' UNION SELECT process_id FROM processes --", "$1", "?", "\\'"]
    put(connection, command, pa.record_batch({"0": values}))
    (endpoint,) = connection.get_flight_info(descriptor(command)).endpoints
    assert connection.do_get(endpoint.ticket).read_all()["value"].to_pylist() == values


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (CommandStatementIngest(table="stolen", table_definition_options=CREATE), pa.ArrowInvalid),
        (CommandStatementIngest(table="stolen", temporary=True), pa.ArrowInvalid),
        (CommandStatementIngest(table="processes", table_definition_options=REPLACE), pa.ArrowInvalid),
        (CommandStatementIngest(table="processes; DROP TABLE processes"), pa.ArrowKeyError),
        (CommandStatementIngest(table="/etc/passwd"), pa.ArrowKeyError),
        (CommandStatementIngest(table="partitions"), pa.ArrowKeyError),
        (CommandStatementIngest(table="tables", schema="information_schema"), pa.ArrowKeyError),
    ],
)
def test_ingestion_reaches_the_tables_of_telemetry_only(
    connection: flight.FlightClient, target: Message, error: type[Exception]
) -> None:
    """None is made, replaced or found elsewhere."""
    before = state(connection)
    with pytest.raises(error) as refused:
        put(connection, target, Recording().processes)
    assert "Traceback" not in str(refused.value)
    assert state(connection) == before


def test_adbc_hears_that_updates_are_not_offered(server: RunningServer) -> None:
    """By a statement that it does not prepare: the command has no rows, nor a schema."""
    with (
        adbc_driver_flightsql.connect(server.url) as database,
        adbc_driver_manager.AdbcConnection(database) as connection,
        adbc_driver_manager.AdbcStatement(connection) as statement,
    ):
        statement.set_sql_query("DELETE FROM processes")
        with pytest.raises(adbc_driver_manager.NotSupportedError, match="statements only read"):
            statement.execute_update()
