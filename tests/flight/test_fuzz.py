"""Bytes that no client should send."""

from collections.abc import Callable, Iterator
from operator import methodcaller

import grpc
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import flight

from flightsrv.flightsql.handlers import ACTIONS
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_pb2 import Action, FlightData, FlightDescriptor, Ticket
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    CommandGetDbSchemas,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    TicketStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.server.raw import RPCS, RawClient, raw_client, upload, with_descriptor
from tests.server.telemetry import Recording

QUERY_ID = "0123456789abcdef"
MESSAGES = [
    CommandStatementQuery(query="SELECT 1"),
    TicketStatementQuery(statement_handle=b"SELECT count(*) FROM processes"),
    QueryTicket(sql="SELECT ?", parameters=b"x", query_id=QUERY_ID),
    QueryTicket(sql="SELECT 1", range_begin_ns=1, range_end_ns=0, query_id=QUERY_ID),
    CommandPreparedStatementQuery(prepared_statement_handle=b"SELECT 1\n/*ps:1*/"),
    CommandGetTables(include_schema=True),
    CommandGetDbSchemas(catalog="x", db_schema_filter_pattern="%"),
    CommandGetSqlInfo(info=(8,)),
    CommandStatementIngest(table="blocks"),
    ActionCreatePreparedStatementRequest(query="SELECT $1"),
]
CLEAN = (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError)


def mutate(draw: st.DrawFn, message: bytes) -> bytes:
    """The message with a few bytes replaced, lost or put in."""
    data = bytearray(message)
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        data[begin : begin + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(data)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """An RPC and messages for it: such as it takes, with mistakes in them or in what they hold, or anything."""
    rpc = draw(st.sampled_from(RPCS))
    if draw(st.integers(0, 4)) == 0:
        return rpc, draw(st.lists(st.binary(max_size=200), max_size=3))
    command = mutate(
        draw, draw(st.sampled_from([pack, methodcaller("SerializeToString")]))(draw(st.sampled_from(MESSAGES)))
    )
    match rpc:
        case "GetFlightInfo" | "PollFlightInfo" | "GetSchema":
            messages = [FlightDescriptor(type=draw(st.integers(0, 3)), cmd=command).SerializeToString()]
        case "DoGet":
            messages = [Ticket(ticket=command).SerializeToString()]
        case "DoAction":
            messages = [Action(type=draw(st.sampled_from(list(ACTIONS))), body=command).SerializeToString()]
        case "DoPut" | "DoExchange":
            messages = mutated_upload(draw, command)
        case _:
            messages = [command]
    return rpc, [mutate(draw, message) if draw(st.integers(0, 4)) == 0 else message for message in messages]


def mutated_upload(draw: st.DrawFn, command: bytes) -> list[bytes]:
    """Rows for a command, or for the table that they belong to, with mistakes in their headers and bodies."""
    table = draw(st.sampled_from(list(RECORDING.tables())))
    options = pa.ipc.IpcWriteOptions(compression=draw(st.sampled_from([None, "lz4", "zstd"])))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RECORDING.tables()[table].schema, options=options) as writer:
        writer.write_batch(RECORDING.tables()[table])
    uploaded = [
        FlightData(
            data_header=mutate(draw, message.metadata.to_pybytes()),
            data_body=mutate(draw, message.body.to_pybytes()),
        )
        for message in pa.ipc.MessageReader.open_stream(sink.getvalue())
    ]
    if draw(st.booleans()):
        command = pack(CommandStatementIngest(table=table))
    return with_descriptor(FlightDescriptor(type=FlightDescriptor.CMD, cmd=command), uploaded)


RECORDING = Recording()
REFUSALS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}


@pytest.fixture(scope="module")
def raw(server: RunningServer) -> Iterator[RawClient]:
    """A client of a server that knows the process of the recording."""
    with raw_client(server.url) as client:
        for table, rows in RECORDING.tables().items():
            client.call("DoPut", *upload(CommandStatementIngest(table=table), rows))
        yield client


@given(asked=requests())
@settings(max_examples=400)
@example(asked=("DoGet", [Ticket(ticket=b"\x12\x07SELECT ?").SerializeToString()]))
def test_any_bytes_get_an_answer_or_a_clean_refusal(raw: RawClient, asked: tuple[str, list[bytes]]) -> None:
    """From every RPC: no traceback, no internal error; and the server goes on."""
    rpc, messages = asked
    call = raw.start(rpc, messages)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    assert call.code().name in REFUSALS, call.details()
    assert "Traceback" not in call.details()
    assert ".py" not in call.details()
    assert len(raw.call("ListActions", b"")) == len(ACTIONS)


@given(sql=st.text(st.characters(exclude_categories=["Cs"]), max_size=100) | st.from_regex(r"SELECT [ -~]{0,40}"))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gets_an_answer_or_a_clean_refusal(connection: flight.FlightClient, sql: str) -> None:
    """As a statement, while it is planned."""
    command = flight.FlightDescriptor.for_command(pack(CommandStatementQuery(query=sql)))
    assert "Traceback" not in refusal(lambda: connection.get_flight_info(command))


def refusal(call: Callable[[], object]) -> str:
    """What the server says against a call; nothing if it says nothing."""
    try:
        call()
    except CLEAN as refused:
        return str(refused)
    return ""
