"""Tickets: all that is needed to run a query, so that any server of the lake can serve them, more than once."""

import pyarrow as pa
from google.protobuf.message import Message

from flightsrv.policy.headers import CallOptions
from flightsrv.policy.limits import MAX_BOUND_ROWS, MAX_MESSAGE_BYTES
from flightsrv.wire.codec import MalformedMessage, decode, unpack
from flightsrv.wire.flight_sql_pb2 import TicketStatementQuery
from flightsrv.wire.ticket_pb2 import QueryTicket
from udtf.arrow.messages import MessageGuard, check_names, open_stream
from udtf.arrow.plain_types import check_readable
from udtf.errors import InvalidArgument
from udtf.lake.time_range import TimeRange


def make_ticket(
    sql: str,
    options: CallOptions,
    query_id: str,
    *,
    parameters: pa.Table | None = None,
    prepared_statement_handle: bytes | None = None,
    substrait_plan: bytes | None = None,
) -> QueryTicket:
    """The ticket of a statement as a caller asked for it.

    Args:
        query_id: names the query where it is cancelled.
        parameters: bound parameters, one row for each run.
        prepared_statement_handle: where to find the parameters once they are bound.
        substrait_plan: what to run in place of a statement.
    """
    time_range = options.time_range
    return QueryTicket(
        sql=sql,
        parameters=None if parameters is None else _table_to_bytes(parameters),
        prepared_statement_handle=prepared_statement_handle,
        range_begin_ns=None if time_range is None else time_range.begin_ns,
        range_end_ns=None if time_range is None else time_range.end_ns,
        strict=options.strict,
        preserve_dictionary=options.preserve_dictionary,
        query_id=query_id,
        substrait_plan=substrait_plan,
        db_schema=options.db_schema,
    )


def time_range_of(ticket: QueryTicket) -> TimeRange | None:
    """The time range that a ticket was made for."""
    if ticket.HasField("range_begin_ns") and ticket.HasField("range_end_ns"):
        return TimeRange(ticket.range_begin_ns, ticket.range_end_ns)
    return None


def parameters_of(ticket: QueryTicket) -> pa.Table | None:
    """The parameters that were bound when a ticket was made.

    Raises:
        InvalidArgument: the ticket was tampered with.
    """
    if not ticket.HasField("parameters"):
        return None
    try:
        guard = MessageGuard(MAX_MESSAGE_BYTES, MAX_BOUND_ROWS)
        parameters = open_stream(ticket.parameters, guard).read_all()
        check_names(parameters.schema)
        check_readable(parameters.schema)
        parameters.validate(full=True)
        for batch in parameters.to_batches():
            guard.check_rows(batch)
        return parameters
    except (pa.ArrowException, OSError) as e:
        raise InvalidArgument("the parameters in the ticket cannot be read") from e


def read_ticket(data: bytes) -> Message:
    """The command in a ticket.

    Some clients make tickets of their own: a TicketStatementQuery, wrapped or bare, with SQL text as its handle.

    Raises:
        MalformedMessage: neither.
        UnsupportedMessage: a Flight SQL command that has no meaning here.
    """
    try:
        return unpack(data)
    except MalformedMessage as not_wrapped:
        try:
            bare = decode(TicketStatementQuery, data)
        except MalformedMessage:
            raise not_wrapped from None
        if not bare.statement_handle or bare.SerializeToString() != data:
            raise not_wrapped
        return bare


def _table_to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded
