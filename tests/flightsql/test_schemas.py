"""The schema that is told when a statement is prepared, planned and streamed: one and the same, and of plain types."""

import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
)
from tests.server.clients import Client, PyarrowClient, Refused, call_options, descriptor, put
from tests.server.telemetry import START_NS, Recording

SPANS = "SELECT {} FROM view_instance('thread_spans', '{}')"


@pytest.fixture(scope="module")
def recording(server: RunningServer) -> Recording:
    """A process in the lake."""
    made = Recording()
    for table, rows in made.tables().items():
        PyarrowClient(server.url).ingest(table, rows)
    return made


def prepare(
    connection: flight.FlightClient, sql: str, options: flight.FlightCallOptions | None = None
) -> ActionCreatePreparedStatementResult:
    request = ("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql)))
    (result,) = connection.do_action(request, options)
    created = unpack(result.body.to_pybytes())
    assert isinstance(created, ActionCreatePreparedStatementResult)
    return created


@pytest.mark.parametrize("keep", ["true", "false"])
@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT * FROM view_instance('thread_spans', '{stream_id}')", []),
        ("SELECT * FROM process_spans($1, 'both') WHERE duration > $2", ["{process_id}", 7]),
        ("SELECT * FROM perfetto_trace_chunks($1, 'both', $2, $3)", ["{process_id}", "{begin}", "{end}"]),
        ("SELECT ? AS t, ? + start_ticks AS n, upper(?) AS u, 1 AS one FROM processes", ["x", 1, "y"]),
        ("SELECT count(*), max(name), array_agg(name) FROM process_spans($1, 'both') GROUP BY name", ["{process_id}"]),
        ("SELECT ?", ["x"]),
        ("SELECT exe FROM processes WHERE exe = ? UNION ALL SELECT ?", ["a", "b"]),
    ],
)
def test_schemas_of_all_steps_are_equal(
    connection: flight.FlightClient, recording: Recording, sql: str, parameters: list[object], keep: str
) -> None:
    """Names, types and nullability; whether the parameters are bound before the ticket is made or after."""
    options = call_options({"preserve_dictionary": keep})
    known = {
        "process_id": recording.process_id,
        "begin": pa.scalar(START_NS, pa.timestamp("ns", "UTC")),
        "end": pa.scalar(START_NS + 10**9, pa.timestamp("ns", "UTC")),
    }
    values = [known.get(str(value).strip("{}"), value) for value in parameters]
    created = prepare(connection, sql.replace("{stream_id}", recording.stream_id), options)
    prepared = pa.ipc.read_schema(pa.py_buffer(created.dataset_schema))
    command = CommandPreparedStatementQuery(prepared_statement_handle=created.prepared_statement_handle)
    early = connection.get_flight_info(descriptor(command), options)
    if values:
        columns = [pa.array([v], v.type if isinstance(v, pa.Scalar) else None) for v in values]
        put(connection, command, pa.record_batch(columns, names=[str(i) for i in range(len(values))]))
    late = connection.get_flight_info(descriptor(command), options)
    streams = [connection.do_get(info.endpoints[0].ticket, options) for info in (early, late)]
    schemas = [prepared, early.schema, late.schema, *(stream.schema for stream in streams)]
    assert all(schema.equals(prepared) for schema in schemas), [str(schema) for schema in schemas]
    assert streams[0].read_all().equals(streams[1].read_all())


def test_parameters_bound_late_are_of_the_types_that_were_told(connection: flight.FlightClient) -> None:
    """The ticket went out with a schema that these types lead to."""
    command = CommandPreparedStatementQuery(
        prepared_statement_handle=prepare(connection, "SELECT ? AS t").prepared_statement_handle
    )
    info = connection.get_flight_info(descriptor(command))
    put(connection, command, pa.record_batch({"0": [41]}))
    assert connection.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"t": "41"}]

    command = CommandPreparedStatementQuery(
        prepared_statement_handle=prepare(connection, "SELECT 1 + ? AS n").prepared_statement_handle
    )
    info = connection.get_flight_info(descriptor(command))
    put(connection, command, pa.record_batch({"0": ["forty"]}))
    with pytest.raises(pa.ArrowInvalid, match=r"parameter \$1 must be int64, given: string"):
        connection.do_get(info.endpoints[0].ticket).read_all()


def test_rows_of_parameters_may_differ_in_nulls_only(client: Client) -> None:
    """One stream has one schema."""
    rows = pa.record_batch({"0": pa.array([1, None], pa.int64())})
    assert client.query_prepared("SELECT 1 + ? AS n", rows)["n"].to_pylist() == [2, None]
    values = pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, None], pa.int64()), pa.array([None, "x"])]
    )
    with pytest.raises(Refused, match="parameters of row 2 give other columns") as refused:
        client.query_prepared("SELECT ? AS n", pa.record_batch({"0": values}))
    assert refused.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("arrow_cast('x', 'Utf8View')", pa.utf8()),
        ("arrow_cast('x', 'BinaryView')", pa.binary()),
        ("[arrow_cast('x', 'Utf8View')]", pa.list_(pa.utf8())),
        ("named_struct('a', arrow_cast('x', 'Utf8View'))", pa.struct([("a", pa.utf8())])),
        ("map(['k'], [arrow_cast('x', 'Utf8View')])", pa.map_(pa.utf8(), pa.utf8())),
        ("arrow_cast('x', 'Dictionary(Int32, Utf8)')", pa.utf8()),
        ("[arrow_cast('x', 'Dictionary(Int32, Utf8)')]", pa.list_(pa.utf8())),
        ("named_struct('a', [arrow_cast('x', 'Dictionary(Int8, Utf8View)')])", pa.struct([("a", pa.list_(pa.utf8()))])),
    ],
)
def test_types_that_clients_lack_become_plain_ones(client: Client, expression: str, kind: pa.DataType) -> None:
    """At any depth."""
    table = client.query(f"SELECT {expression} AS value")
    expected = pa.schema([("value", kind)])
    assert without_names(table.schema.field("value").type) == without_names(expected.field("value").type)


def test_nested_dictionaries_are_kept_for_who_asks(server: RunningServer, recording: Recording) -> None:
    """In a list, say."""
    table = PyarrowClient(server.url).query(
        SPANS.format("array_agg(name ORDER BY begin) AS names", recording.stream_id), {"preserve_dictionary": "true"}
    )
    assert pa.types.is_dictionary(table.schema.field("names").type.value_type)
    assert table["names"].to_pylist() == [["outer", "inner"]]


def without_names(kind: pa.DataType) -> str:
    """Nested fields have names and nullability of no interest here."""
    return str(kind).replace(" not null", "").replace("element:", "item:").replace(" ('entries')", "")
