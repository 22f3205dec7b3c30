"""Bytes that no client should send."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import flight

from flightsrv.server.handlers import ACTIONS
from flightsrv.wire.codec import encode, pack
from flightsrv.wire.commands import (
    ActionCreatePreparedStatementRequest,
    CommandGetDbSchemas,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    QueryTicket,
    TicketStatementQuery,
)
from tests.server.telemetry import Recording

QUERY_ID = "0123456789abcdef"
MESSAGES = [
    CommandStatementQuery("SELECT 1"),
    TicketStatementQuery(b"SELECT count(*) FROM processes"),
    QueryTicket("SELECT ?", parameters=b"x", query_id=QUERY_ID),
    QueryTicket("SELECT 1", range_begin_ns=1, range_end_ns=0, query_id=QUERY_ID),
    CommandPreparedStatementQuery(b"SELECT 1\n/*ps:1*/"),
    CommandGetTables(include_schema=True),
    CommandGetDbSchemas("x", "%"),
    CommandGetSqlInfo((8,)),
    CommandStatementIngest("blocks"),
    ActionCreatePreparedStatementRequest("SELECT $1"),
]
CLEAN = (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError)


@st.composite
def mutated_messages(draw: st.DrawFn) -> bytes:
    """A message, wrapped or bare, with a few bytes replaced, lost or put in."""
    data = bytearray(draw(st.sampled_from([pack, encode]))(draw(st.sampled_from(MESSAGES))))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        data[begin : begin + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(data)


@given(
    data=mutated_messages() | st.binary(max_size=200), method=st.sampled_from(["info", "schema", "get", "act", "put"])
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_get_an_answer_or_a_clean_refusal(connection: flight.FlightClient, data: bytes, method: str) -> None:
    """No traceback, no internal error, and the server goes on."""
    message = refusal(lambda: send(connection, data, method))
    assert "Traceback" not in message
    assert ".py" not in message
    assert len(list(connection.list_actions())) == len(ACTIONS)


@given(sql=st.text(st.characters(exclude_categories=["Cs"]), max_size=100) | st.from_regex(r"SELECT [ -~]{0,40}"))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gets_an_answer_or_a_clean_refusal(connection: flight.FlightClient, sql: str) -> None:
    """As a statement, while it is planned."""
    command = flight.FlightDescriptor.for_command(pack(CommandStatementQuery(sql)))
    assert "Traceback" not in refusal(lambda: connection.get_flight_info(command))


def refusal(call: Callable[[], object]) -> str:
    """What the server says against a call; nothing if it says nothing."""
    try:
        call()
    except CLEAN as refused:
        return str(refused)
    return ""


def send(connection: flight.FlightClient, data: bytes, method: str) -> None:
    """Send bytes where a method of Flight expects a message."""
    command = flight.FlightDescriptor.for_command(data)
    match method:
        case "info":
            connection.get_flight_info(command)
        case "schema":
            connection.get_schema(command)
        case "get":
            connection.do_get(flight.Ticket(data)).read_all()
        case "act":
            list(connection.do_action(("CreatePreparedStatement", data)))
        case "put":
            rows = Recording().processes
            writer, _ = connection.do_put(command, rows.schema)
            writer.write_batch(rows)
            writer.close()
        case _:
            pytest.fail(f"unknown method {method}")
