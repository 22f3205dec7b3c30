"""Tickets and handles."""

from operator import methodcaller

import pyarrow as pa
import pytest

from flightsrv.flightsql.handles import new_handle, statement_of
from flightsrv.flightsql.tickets import make_ticket, parameters_of, read_ticket, time_range_of
from flightsrv.policy.bound_parameters import BoundParameters, bound_bytes
from flightsrv.policy.headers import CallOptions
from flightsrv.wire.codec import MalformedMessage, pack
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery, TicketStatementQuery
from flightsrv.wire.ticket_pb2 import QueryTicket
from udtf.errors import InvalidArgument
from udtf.lake.time_range import ALL_TIME, TimeRange

PARAMETERS = pa.table({"0": [1, 2]})


@pytest.mark.parametrize("time_range", [None, TimeRange(-5, 7), ALL_TIME])
def test_ticket_holds_all_that_is_needed_to_run(time_range: TimeRange | None) -> None:
    """Another process can run what this one planned."""
    options = CallOptions(time_range=time_range, strict=True, preserve_dictionary=True)
    ticket = read_ticket(pack(make_ticket("SELECT 1", options, "0123456789abcdef", parameters=PARAMETERS)))
    assert isinstance(ticket, QueryTicket)
    assert (ticket.sql, ticket.strict, ticket.preserve_dictionary) == ("SELECT 1", True, True)
    assert ticket.query_id == "0123456789abcdef"
    assert time_range_of(ticket) == time_range
    assert parameters_of(ticket) == PARAMETERS


@pytest.mark.parametrize("wrap", [pack, methodcaller("SerializeToString")])
def test_ticket_made_by_a_client_is_read(wrap: object) -> None:
    """SQL text as the handle of a TicketStatementQuery, in Any or bare."""
    assert callable(wrap)
    made = TicketStatementQuery(statement_handle="SELECT 'ä' /* a/b */".encode())
    assert read_ticket(wrap(made)) == made


@pytest.mark.parametrize(
    "data", [b"", b"SELECT 1", b"\xff" * 20, CommandStatementQuery(query="x", transaction_id=b"y").SerializeToString()]
)
def test_garbage_is_no_ticket(data: bytes) -> None:
    """Neither wrapped nor bare."""
    with pytest.raises(MalformedMessage):
        read_ticket(data)


def test_ticket_with_broken_parameters_is_refused() -> None:
    """Somebody changed the bytes."""
    with pytest.raises(InvalidArgument, match="parameters in the ticket"):
        parameters_of(QueryTicket(sql="SELECT ?", parameters=b"garbage"))


def test_handle_holds_its_statement_and_is_sql_itself() -> None:
    """A statement that ends in a comment is no exception."""
    sql = "SELECT 1 -- one"
    handle = new_handle(sql)
    assert statement_of(handle) == sql
    assert handle.decode().startswith(sql + "\n/*")
    assert new_handle(sql) != handle


@pytest.mark.parametrize("handle", [b"", b"SELECT 1", b"\xff\n/*ps:1*/"])
def test_bytes_that_are_no_handle_are_refused(handle: bytes) -> None:
    """A handle of somebody else, or none."""
    with pytest.raises(InvalidArgument, match="unknown prepared statement"):
        statement_of(handle)


def test_parameters_are_forgotten_when_unused() -> None:
    """A client that never closes its statements costs memory for a while only."""
    now_s = 0.0
    bound = BoundParameters(lifetime_s=10, clock_s=lambda: now_s)
    bound.put(b"used", PARAMETERS)
    bound.put(b"unused", PARAMETERS)
    now_s = 6.0
    assert bound.get(b"used") is PARAMETERS
    now_s = 12.0
    assert bound.get(b"unused") is None
    assert bound.get(b"used") is PARAMETERS


def test_parameters_bound_longest_ago_make_room() -> None:
    """The number of statements with parameters is bounded."""
    bound = BoundParameters(max_entries=2)
    for handle in (b"1", b"2", b"3"):
        bound.put(handle, PARAMETERS)
    assert [bound.get(handle) is None for handle in (b"1", b"2", b"3")] == [True, False, False]
    bound.forget(b"3")
    assert bound.get(b"3") is None


def test_parameters_take_a_bounded_number_of_bytes() -> None:
    """Statements count as well. What is bound anew takes the place of what was bound before."""
    bound = BoundParameters(max_bytes=bound_bytes(b"1", PARAMETERS) * 2)
    for handle in (b"1", b"1", b"2"):
        bound.put(handle, PARAMETERS)
    assert bound.get(b"1") is PARAMETERS
    bound.put(b"3", PARAMETERS)
    assert [bound.get(handle) is None for handle in (b"1", b"2", b"3")] == [False, True, False]
    bound.forget(b"3")
    bound.put(b"x" * 1000, PARAMETERS)
    assert bound.get(b"1") is None
