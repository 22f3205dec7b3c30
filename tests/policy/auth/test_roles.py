"""What each role may do, with clients that are not ours; and that nobody without a token may do anything."""

import base64
import logging
from collections.abc import Callable, Iterator

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.flightsql.handles import new_handle
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCancelQueryRequest,
    ActionCreatePreparedStatementRequest,
    CommandGetSqlInfo,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    TicketStatementQuery,
)
from tests.policy.auth.conftest import Guarded
from tests.server.clients import descriptor
from tests.server.telemetry import Recording

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

RANGE = "TIMESTAMP '2026-01-01T09:00:00Z', TIMESTAMP '2026-01-01T11:00:00Z'"
APPEND = TableDefinitionOptions(
    if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
    if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
)

STATEMENTS = {
    "SELECT process_id FROM processes": "reader",
    "SELECT * FROM process_spans('{process_id}', 'both')": "reader",
    "SELECT * FROM view_instance('thread_spans', '{stream_id}')": "reader",
    "SELECT * FROM perfetto_trace_chunks('{process_id}', 'both', " + RANGE + ")": "reader",
    "SELECT * FROM list_partitions()": "reader",
    "SELECT * FROM list_view_sets()": "reader",
    "SELECT * FROM materialize_partitions('thread_spans', '{stream_id}', " + RANGE + ")": "admin",
    "SELECT * FROM materialize_partitions('thread_spans', " + RANGE + ", 60)": "admin",
    "SELECT * FROM retire_partitions('thread_spans', '{stream_id}', " + RANGE + ")": "admin",
    "SELECT * FROM server_metrics()": "admin",
    "SELECT * FROM query_log()": "admin",
    "SELECT n FROM (SELECT count(*) AS n FROM query_log()) WHERE n > 1": "admin",
}
"""Each with the role that it takes."""


@pytest.fixture(params=["pyarrow", "adbc"])
def query(request: pytest.FixtureRequest, guarded: Guarded) -> Callable[[str, str], pa.Table]:
    """Runs a statement with somebody's token; raises PermissionError when it is refused for that."""

    def with_pyarrow(name: str, sql: str) -> pa.Table:
        with flight.connect(guarded.url) as client:
            options = bearer(guarded.tokens[name])
            try:
                info = client.get_flight_info(descriptor(CommandStatementQuery(query=sql)), options)
                return client.do_get(info.endpoints[0].ticket, options).read_all()
            except flight.FlightUnauthorizedError as e:
                raise PermissionError(str(e)) from e

    def with_adbc(name: str, sql: str) -> pa.Table:
        header = {"adbc.flight.sql.authorization_header": f"Bearer {guarded.tokens[name]}"}
        with adbc.connect(guarded.url, db_kwargs=header, autocommit=True) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                return cursor.fetch_arrow_table()
            except adbc_driver_manager.Error as e:
                if e.status_code != adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED:
                    raise
                raise PermissionError(str(e)) from e

    return with_pyarrow if request.param == "pyarrow" else with_adbc


def bearer(token: str) -> flight.FlightCallOptions:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("name", ["reader", "writer", "admin"])
@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_role_runs_what_it_may(sql: str, name: str, query: Callable[[str, str], pa.Table], guarded: Guarded) -> None:
    """And hears PERMISSION_DENIED for the rest."""
    given = sql.format(process_id=guarded.mine.process_id, stream_id=guarded.mine.stream_id)
    if name in (STATEMENTS[sql], "admin"):
        assert query(name, given).num_columns > 0
    else:
        with pytest.raises(PermissionError, match=r"takes a token with the role reader|is for administrators"):
            query(name, given)


@pytest.mark.parametrize(("name", "may"), [("reader", False), ("writer", True), ("admin", True)])
def test_who_may_ingest(name: str, may: bool, guarded: Guarded) -> None:
    """Telemetry is taken from writers and administrators."""
    rows = Recording().processes
    header = {"adbc.flight.sql.authorization_header": f"Bearer {guarded.tokens[name]}"}
    with adbc.connect(guarded.url, db_kwargs=header, autocommit=True) as connection, connection.cursor() as cursor:
        if may:
            assert cursor.adbc_ingest("processes", rows, mode="append") == 1
        else:
            with pytest.raises(adbc_driver_manager.Error, match="to ingest takes a token with the role writer"):
                cursor.adbc_ingest("processes", rows, mode="append")


def test_a_writer_has_no_say_in_what_others_read(guarded: Guarded) -> None:
    """Neither ends it, nor changes its parameters."""
    with flight.connect(guarded.url) as client:
        reader, writer = bearer(guarded.tokens["reader"]), bearer(guarded.tokens["writer"])
        info = client.get_flight_info(descriptor(CommandStatementQuery(query="SELECT 1 AS one")), reader)
        request = ActionCancelQueryRequest(info=info.serialize())
        with pytest.raises(
            flight.FlightUnauthorizedError, match="to cancel a query takes a token with the role reader"
        ):
            list(client.do_action(("CancelQuery", pack(request)), writer))
        assert client.do_get(info.endpoints[0].ticket, reader).read_all().num_rows == 1
        command = CommandPreparedStatementQuery(prepared_statement_handle=new_handle("SELECT $1"))
        with pytest.raises(flight.FlightUnauthorizedError, match="to bind parameters takes a token with the role"):
            _put(client, command, pa.record_batch({"1": [1]}), writer)


CALLS: dict[str, Callable[[flight.FlightClient, flight.FlightCallOptions], object]] = {
    "list actions": lambda client, options: list(client.list_actions(options)),
    "info": lambda client, options: client.get_flight_info(
        descriptor(CommandStatementQuery(query="SELECT 1")), options
    ),
    "schema": lambda client, options: client.get_schema(descriptor(CommandStatementQuery(query="SELECT 1")), options),
    "sql info": lambda client, options: client.get_flight_info(descriptor(CommandGetSqlInfo()), options),
    "rows": lambda client, options: client.do_get(
        flight.Ticket(pack(TicketStatementQuery(statement_handle=b"SELECT 1"))), options
    ).read_all(),
    "prepare": lambda client, options: list(
        client.do_action(
            ("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query="SELECT 1"))), options
        )
    ),
    "ingest": lambda client, options: _ingest(client, options),
}


def _ingest(client: flight.FlightClient, options: flight.FlightCallOptions) -> None:
    _put(
        client,
        CommandStatementIngest(table="processes", table_definition_options=APPEND),
        Recording().processes,
        options,
    )


def _put(
    client: flight.FlightClient, command: Message, rows: pa.RecordBatch, options: flight.FlightCallOptions
) -> None:
    writer, reader = client.do_put(descriptor(command), rows.schema, options)
    with writer:
        writer.write_batch(rows)
        writer.done_writing()
        reader.read()


@pytest.fixture
def headers(guarded: Guarded) -> dict[str, str | None]:
    """Headers that are of no use."""
    return {
        "none": None,
        "empty": "",
        "no token": "Bearer",
        "unknown": "Bearer flightsrv_" + "x" * 43,
        "cut": "Bearer " + guarded.tokens["admin"][:-1],
        "hash": "Bearer " + "0" * 64,
        "other scheme": "Digest " + guarded.tokens["admin"],
        "no base64": "Basic %%%",
        "wrong password": basic("admin", "secret"),
        "token of somebody else": basic("admin", guarded.tokens["reader"]),
        "nobody": basic("", guarded.tokens["admin"]),
    }


@pytest.mark.parametrize("call", CALLS)
def test_without_a_token_nothing_is_done(
    call: str, headers: dict[str, str | None], guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """UNAUTHENTICATED for every method, and neither answer nor log repeats what came."""
    caplog.set_level(logging.DEBUG)
    with flight.connect(guarded.url) as client:
        for header in headers.values():
            sent = [] if header is None else [(b"authorization", header.encode())]
            # GetSchema of pyarrow's client and of its server know no special errors.
            with pytest.raises((pa.ArrowException, OSError), match=r"(?is)(?=.*unauthenticated).*token") as refused:
                CALLS[call](client, flight.FlightCallOptions(headers=sent))
            for token in guarded.tokens.values():
                assert token not in str(refused.value)
                assert token not in caplog.text


def test_tokens_are_not_in_the_log(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """Names are."""
    caplog.set_level(logging.DEBUG)
    with flight.connect(guarded.url) as client:
        options = bearer(guarded.tokens["reader"])
        ticket = flight.Ticket(pack(TicketStatementQuery(statement_handle=b"SELECT 42 AS answer")))
        client.do_get(ticket, options).read_all()
        for sql in (b"SELECT nothing", b"SELECT * FROM query_log()"):
            with pytest.raises((pa.ArrowInvalid, flight.FlightUnauthorizedError)):
                client.do_get(flight.Ticket(pack(TicketStatementQuery(statement_handle=sql))), options).read_all()
    while "SELECT 42 AS answer" not in caplog.text:
        pass
    assert "(reader)" in caplog.text
    assert all(token not in caplog.text for token in guarded.tokens.values())


def test_a_name_and_a_token_give_a_bearer(guarded: Guarded) -> None:
    """The handshake of clients that know names and passwords."""
    with flight.connect(guarded.url) as client:
        header = client.authenticate_basic_token("reader", guarded.tokens["reader"])
        assert list(client.list_actions(flight.FlightCallOptions(headers=[header])))
        with pytest.raises(flight.FlightUnauthenticatedError, match="the token is unknown"):
            client.authenticate_basic_token("reader", "secret")
        with pytest.raises(flight.FlightUnauthenticatedError, match="the token is unknown"):
            client.authenticate_basic_token("admin", guarded.tokens["reader"])


def test_adbc_logs_in_with_name_and_password(guarded: Guarded) -> None:
    """By options of the driver's own."""
    login = {"username": "reader", "password": guarded.tokens["reader"]}
    with adbc.connect(guarded.url, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) AS n FROM processes")
        assert cursor.fetch_arrow_table()["n"][0].as_py() >= 2
    with (
        pytest.raises(adbc_driver_manager.Error, match="the token is unknown"),
        adbc.connect(guarded.url, db_kwargs=login | {"password": "secret"}, autocommit=True) as connection,
    ):
        pass


@pytest.fixture
def open_connection(server: RunningServer) -> Iterator[flight.FlightClient]:
    """To a server that asks nobody."""
    with flight.connect(server.url) as client:
        yield client


def test_an_open_server_takes_any_name_and_password(open_connection: flight.FlightClient) -> None:
    """Some clients cannot do without; and whatever they send afterwards is fine as well."""
    header = open_connection.authenticate_basic_token("somebody", "something")
    assert list(open_connection.list_actions(flight.FlightCallOptions(headers=[header])))
    assert list(open_connection.list_actions(bearer("whatever")))
