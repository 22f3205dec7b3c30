"""Statements and prepared statements over a real lake, by clients that are not ours."""

from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller

import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate,
    CommandStatementQuery,
    CommandStatementUpdate,
    TicketStatementQuery,
)
from tests.server.clients import Client, PyarrowClient, Refused, call_options, descriptor, put
from tests.server.telemetry import START_NS, Recording
from udtf.lake.schemas import TIMESTAMP

TRACE = "SELECT chunk_id, chunk_data FROM perfetto_trace_chunks({}, 'both', {}, {})"
BEGIN, END = "TIMESTAMP '2026-01-01T10:00:00Z'", "TIMESTAMP '2026-01-01T10:00:01Z'"


@pytest.fixture(scope="module")
def recording(server: RunningServer) -> Recording:
    """A process in the lake."""
    made = Recording()
    for table, rows in made.tables().items():
        PyarrowClient(server.url).ingest(table, rows)
    return made


def test_statement_is_answered(client: Client) -> None:
    """Rows, names and types arrive."""
    table = client.query("SELECT 1 AS n, 'x' AS t, CAST(NULL AS BIGINT) AS nothing")
    assert table.to_pylist() == [{"n": 1, "t": "x", "nothing": None}]


def test_spans_are_answered(client: Client, recording: Recording) -> None:
    """A view of one thread, in plain text columns that every client understands."""
    table = client.query(
        f"SELECT name, depth, duration FROM view_instance('thread_spans', '{recording.stream_id}') ORDER BY begin"
    )
    assert table.to_pylist() == [
        {"name": "outer", "depth": 0, "duration": 100},
        {"name": "inner", "depth": 1, "duration": 50},
    ]
    assert table.schema.field("name").type == pa.utf8()


def test_trace_is_answered(client: Client, recording: Recording) -> None:
    """Chunks have consecutive ids, and the client may aggregate them."""
    trace = TRACE.format(f"'{recording.process_id}'", BEGIN, END)
    table = client.query(trace)
    assert table["chunk_id"].to_pylist() == list(range(table.num_rows))
    assert sum(map(len, table["chunk_data"].to_pylist())) > 0
    assert client.query(f"SELECT count(*) AS n FROM ({trace})")["n"].to_pylist() == [table.num_rows]


def test_many_clients_aggregate_traces_at_once(server: RunningServer, recording: Recording) -> None:
    """A plan that waits for its rows does not keep others from theirs."""
    trace = TRACE.format(f"'{recording.process_id}'", BEGIN, END)
    sql = f"SELECT chunk_id % 3 AS k, count(*) AS n FROM ({trace}) GROUP BY 1 ORDER BY 1"
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(PyarrowClient(server.url).query, [sql] * 16))
    assert all(table == tables[0] for table in tables)


def test_time_range_headers_limit_views(client: Client, recording: Recording) -> None:
    """`inner` ends before the range begins."""
    table = client.query(
        f"SELECT name FROM view_instance('thread_spans', '{recording.stream_id}')",
        {"query_range_begin": "2026-01-01T10:00:00.000000061Z"},
    )
    assert table["name"].to_pylist() == ["outer"]


def test_ticket_keeps_the_time_range_it_was_made_for(connection: flight.FlightClient, recording: Recording) -> None:
    """Headers go with GetFlightInfo; DoGet needs none."""
    command = CommandStatementQuery(query=f"SELECT name FROM view_instance('thread_spans', '{recording.stream_id}')")
    options = call_options({"query_range_begin": "2026-01-01T10:00:00.000000061Z"})
    info = connection.get_flight_info(descriptor(command), options)
    for _ in range(2):
        assert connection.do_get(info.endpoints[0].ticket).read_all()["name"].to_pylist() == ["outer"]


@pytest.mark.parametrize("wrap", [pack, methodcaller("SerializeToString")])
def test_ticket_made_of_sql_by_the_client_is_answered(
    connection: flight.FlightClient, recording: Recording, wrap: object
) -> None:
    """Such a client sends its headers with DoGet."""
    assert callable(wrap)
    sql = f"SELECT name FROM view_instance('thread_spans', '{recording.stream_id}')"
    options = call_options({"query_range_begin": "2026-01-01T10:00:00.000000061Z"})
    ticket = flight.Ticket(wrap(TicketStatementQuery(statement_handle=sql.encode())))
    assert connection.do_get(ticket, options).read_all()["name"].to_pylist() == ["outer"]


def test_dictionaries_are_kept_for_who_asks(server: RunningServer, recording: Recording) -> None:
    """The same text, as the view has it."""
    table = PyarrowClient(server.url).query(
        f"SELECT name FROM view_instance('thread_spans', '{recording.stream_id}') ORDER BY begin",
        {"preserve_dictionary": "true"},
    )
    assert pa.types.is_dictionary(table.schema.field("name").type)
    assert table["name"].to_pylist() == ["outer", "inner"]


# ---- Parameters


def test_parameters_of_both_styles_are_bound(client: Client) -> None:
    """By position and by number."""
    row = pa.record_batch({"0": [5], "1": ["it's"]})
    assert client.query_prepared("SELECT ? + 1 AS n, ? AS t", row).to_pylist() == [{"n": 6, "t": "it's"}]
    assert client.query_prepared("SELECT $2 AS t, $1 AS n", row).to_pylist() == [{"t": "it's", "n": 5}]


def test_parameters_are_bound_in_arguments_of_table_functions(client: Client, recording: Recording) -> None:
    """As text and as times."""
    times = [pa.array([START_NS + offset_ns], pa.timestamp("ns", "UTC")) for offset_ns in (0, 10**9)]
    row = pa.record_batch([pa.array([recording.process_id]), *times], names=["0", "1", "2"])
    written_out = client.query(TRACE.format(f"'{recording.process_id}'", BEGIN, END))
    assert client.query_prepared(TRACE.format("$1", "$2", "$3"), row) == written_out
    assert client.query_prepared(TRACE.format("?", "?", "?"), row) == written_out


def test_statement_runs_once_for_each_row_of_parameters(client: Client) -> None:
    """In order, a missing value included."""
    rows = pa.record_batch({"0": pa.array([1, None, 3])})
    assert client.query_prepared("SELECT ? AS n", rows)["n"].to_pylist() == [1, None, 3]


def test_parameters_are_never_read_as_sql(client: Client, recording: Recording) -> None:
    """A value with quotes in it is a value."""
    row = pa.record_batch({"0": [f"{recording.process_id}' OR '1'='1"]})
    table = client.query_prepared("SELECT process_id FROM processes WHERE process_id = ?", row)
    assert table.num_rows == 0


def test_wrong_number_of_parameters_is_refused(client: Client) -> None:
    """Too many are not ignored."""
    with pytest.raises(Refused, match="takes 1 parameters") as refused:
        client.query_prepared("SELECT ? AS n", pa.record_batch({"0": [1], "1": [2]}))
    assert refused.value.code == "INVALID_ARGUMENT"


def test_parameters_that_are_too_large_are_refused(server: RunningServer) -> None:
    """They would be kept until the statement is closed."""
    with pytest.raises(Refused, match="a statement and its parameters take at most 16 MiB"):
        PyarrowClient(server.url).query_prepared("SELECT $1", pa.record_batch({"1": ["x" * (17 << 20)]}))


def test_unbound_parameters_are_refused_when_run(client: Client) -> None:
    """Preparing is fine without them."""
    with pytest.raises(Refused, match="none are bound"):
        client.query_prepared("SELECT ? AS n", None)


def test_prepare_tells_schemas_and_runs_nothing(connection: flight.FlightClient) -> None:
    """Also with open parameters in a table function, whose process is not known yet."""
    created = prepare(connection, TRACE.format("$1", "$2", "$3"))
    assert created.is_update is False
    dataset = pa.ipc.read_schema(pa.py_buffer(created.dataset_schema))
    assert dataset.names == ["chunk_id", "chunk_data"]
    assert pa.ipc.read_schema(pa.py_buffer(created.parameter_schema)).names == ["$1", "$2", "$3"]


@pytest.mark.parametrize(
    ("sql", "types"),
    [
        (TRACE.format("$1", "$2", "$3"), [pa.utf8(), TIMESTAMP, TIMESTAMP]),
        ("SELECT * FROM processes WHERE process_id = ? AND start_time > ?", [pa.utf8(), TIMESTAMP]),
        ("SELECT ? + start_ticks, upper(?), CAST(? AS DOUBLE) FROM processes", [pa.int64(), pa.utf8(), pa.float64()]),
        ("SELECT exe FROM processes ORDER BY exe LIMIT $2 OFFSET $1", [pa.int64(), pa.int64()]),
        ("SELECT * FROM streams WHERE process_id IN (SELECT process_id FROM processes WHERE exe = ?)", [pa.utf8()]),
        ("SELECT max(nb_objects) FROM blocks WHERE begin_ticks > ? HAVING count(*) > ?", [pa.int64(), pa.int64()]),
        ("SELECT s.name FROM process_spans($1, 'both') s WHERE s.duration > $2", [pa.utf8(), pa.int64()]),
        ("SELECT ?", [pa.utf8()]),
        ("SELECT 1", []),
    ],
)
def test_prepare_tells_the_types_of_parameters(
    connection: flight.FlightClient, sql: str, types: list[pa.DataType]
) -> None:
    """Where the statement settles them; text, which takes every value, where it does not."""
    assert pa.ipc.read_schema(pa.py_buffer(prepare(connection, sql).parameter_schema)).types == types


def test_parameters_may_be_bound_after_the_ticket_was_made(connection: flight.FlightClient) -> None:
    """Some clients ask for the ticket first."""
    command = CommandPreparedStatementQuery(
        prepared_statement_handle=prepare(connection, "SELECT 1 + ? AS n").prepared_statement_handle
    )
    ticket = connection.get_flight_info(descriptor(command)).endpoints[0].ticket
    put(connection, command, pa.record_batch({"0": [41]}))
    assert connection.do_get(ticket).read_all().to_pylist() == [{"n": 42}]


def test_ticket_keeps_the_parameters_it_was_made_with(connection: flight.FlightClient) -> None:
    """Binding others, or closing the statement, does not change it."""
    command = CommandPreparedStatementQuery(
        prepared_statement_handle=prepare(connection, "SELECT ? AS n").prepared_statement_handle
    )
    put(connection, command, pa.record_batch({"0": [1]}))
    ticket = connection.get_flight_info(descriptor(command)).endpoints[0].ticket
    put(connection, command, pa.record_batch({"0": [2]}))
    assert connection.do_get(ticket).read_all().to_pylist() == [{"n": 1}]


def test_prepared_statement_of_another_server_runs(server: RunningServer, connection: flight.FlightClient) -> None:
    """The handle is the statement."""
    handle = b"SELECT 7 AS n\n/*ps:0123*/"
    command = CommandPreparedStatementQuery(prepared_statement_handle=handle)
    ticket = connection.get_flight_info(descriptor(command)).endpoints[0].ticket
    assert connection.do_get(ticket).read_all().to_pylist() == [{"n": 7}]


def prepare(connection: flight.FlightClient, sql: str) -> ActionCreatePreparedStatementResult:
    (result,) = connection.do_action(("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql))))
    created = unpack(result.body.to_pybytes())
    assert isinstance(created, ActionCreatePreparedStatementResult)
    return created


# ---- Refusals


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "ParserError"),
        ("SELECT 1; SELECT 2", "single SQL statement"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT nothing FROM processes", "nothing"),
        (
            TRACE.format("'p'", BEGIN, END).replace("both", "fibers"),
            "must be 'thread', 'async', 'both', or 'all', given: 'fibers'",
        ),
        ("CREATE TABLE t (a INT)", "DDL not supported"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "not supported"),
        ("COPY processes TO '/tmp/stolen.csv'", "not supported"),
        ("INSERT INTO processes SELECT * FROM processes", "not supported"),
        ("SET datafusion.execution.batch_size = 1", "not supported"),
        ("DROP TABLE processes", "not supported"),
    ],
)
def test_bad_statement_is_refused_with_the_reason(client: Client, sql: str, message: str) -> None:
    """As INVALID_ARGUMENT, while planning, with nothing about the server's insides."""
    with pytest.raises(Refused) as refused:
        client.query(sql)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert message in refused.value.message
    assert "Traceback" not in refused.value.message
    assert ".py" not in refused.value.message


def test_bad_header_is_refused_by_name(client: Client) -> None:
    """The same way as a bad statement."""
    with pytest.raises(Refused, match="query_range_begin") as refused:
        client.query("SELECT 1", {"query_range_begin": "yesterday"})
    assert refused.value.code == "INVALID_ARGUMENT"
    assert "Traceback" not in refused.value.message


def test_bad_statement_is_refused_by_get_schema_without_traceback(connection: flight.FlightClient) -> None:
    """This method of Flight reports errors in another way than the others."""
    with pytest.raises(pa.ArrowInvalid, match="nowhere") as refused:
        connection.get_schema(descriptor(CommandStatementQuery(query="SELECT * FROM nowhere")))
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("command", [b"", b"garbage", b"\xff\xff"])
def test_garbage_is_refused_by_every_method(connection: flight.FlightClient, command: bytes) -> None:
    """With a clean INVALID_ARGUMENT."""
    path = flight.FlightDescriptor.for_command(command)
    for ask in (
        lambda: connection.get_flight_info(path),
        lambda: connection.get_schema(path),
        lambda: connection.do_get(flight.Ticket(command)).read_all(),
        lambda: list(connection.do_action(("CreatePreparedStatement", command))),
    ):
        with pytest.raises(pa.ArrowInvalid) as refused:
            ask()
        assert "Traceback" not in str(refused.value)


def test_path_is_no_command(connection: flight.FlightClient) -> None:
    """Flight knows descriptors that Flight SQL does not use."""
    with pytest.raises(pa.ArrowInvalid, match="a path"):
        connection.get_flight_info(flight.FlightDescriptor.for_path("processes"))


@pytest.mark.parametrize("action", ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint", "nonsense"])
def test_actions_that_are_not_offered_are_unimplemented(connection: flight.FlightClient, action: str) -> None:
    """Clients go on without."""
    with pytest.raises(NotImplementedError, match="not offered"):
        list(connection.do_action((action, b"")))


@pytest.mark.parametrize(
    "command",
    [
        CommandStatementUpdate(query="DELETE FROM processes"),
        CommandStatementUpdate(query="SELECT 1"),
        CommandPreparedStatementUpdate(prepared_statement_handle=b"SELECT ?\n/*ps:1*/"),
    ],
)
def test_updates_are_unimplemented(connection: flight.FlightClient, command: Message) -> None:
    """Whatever the statement."""
    with pytest.raises(NotImplementedError, match="statements only read"):
        put(connection, command, pa.record_batch({"0": [1]}))


def test_statements_in_transactions_are_unimplemented(connection: flight.FlightClient) -> None:
    """Nobody may believe that they are."""
    with pytest.raises(NotImplementedError, match="transactions"):
        connection.get_flight_info(descriptor(CommandStatementQuery(query="SELECT 1", transaction_id=b"t")))
    request = ActionCreatePreparedStatementRequest(query="SELECT 1", transaction_id=b"t")
    with pytest.raises(NotImplementedError, match="transactions"):
        list(connection.do_action(("CreatePreparedStatement", pack(request))))


def test_actions_are_listed(connection: flight.FlightClient) -> None:
    """By name."""
    names = [action.type for action in connection.list_actions()]
    assert names == [
        "CreatePreparedStatement",
        "CreatePreparedSubstraitPlan",
        "ClosePreparedStatement",
        "CancelFlightInfo",
        "CancelQuery",
        "RenewFlightEndpoint",
        "SetSessionOptions",
        "GetSessionOptions",
        "CloseSession",
    ]
