"""Commands that are answered with rows: statements, prepared statements, tickets.

GetSchema, GetFlightInfo and DoGet of a command share one function, which plans and hands back an `Answer`; rows are
made when its batches are iterated over.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from flightsrv.flight.answer import Answer, Batches, IsCancelled
from flightsrv.flight.call import Call
from flightsrv.flightsql.column_metadata import with_column_metadata
from flightsrv.flightsql.handles import plan_of, statement_of
from flightsrv.flightsql.parameters import Statement, cast_parameters, parse_statement, value_at
from flightsrv.flightsql.refusals import refuse_transaction
from flightsrv.flightsql.tickets import make_ticket, parameters_of, time_range_of
from flightsrv.wire.flight_sql_pb2 import CommandPreparedStatementQuery, CommandStatementQuery, TicketStatementQuery
from flightsrv.wire.ticket_pb2 import QueryTicket
from udtf.errors import InvalidArgument, LimitExceeded
from udtf.functions.query_context import QueryContext
from udtf.sql.engine import Query


def statement_query(call: Call, command: CommandStatementQuery) -> Answer:
    """Answer a statement.

    Raises:
        NotOffered: it belongs to a transaction.
    """
    refuse_transaction(command)
    return query_ticket(call, make_ticket(command.query, call.options, call.query_id))


def statement_ticket(call: Call, ticket: TicketStatementQuery) -> Answer:
    """Answer a ticket that a client made of SQL text.

    Raises:
        InvalidArgument: the ticket is not text.
    """
    try:
        sql = ticket.statement_handle.decode()
    except UnicodeDecodeError as e:
        raise InvalidArgument("the ticket is neither one of this server nor SQL text") from e
    return query_ticket(call, make_ticket(sql, call.options, call.query_id))


def prepared_query(call: Call, command: CommandPreparedStatementQuery) -> Answer:
    """Answer a prepared statement: with the parameters bound by now, or with those bound before its rows are asked for.

    Raises:
        InvalidArgument: not a handle of a prepared statement.
    """
    handle = command.prepared_statement_handle
    plan = plan_of(handle)
    if plan is not None:
        return query_ticket(call, make_ticket("", call.options, call.query_id, substrait_plan=plan))
    sql = statement_of(handle)
    parameters = call.services.bound.get(handle)
    unbound = parameters is None and read_statement(call, sql).parameter_count > 0
    return query_ticket(
        call,
        make_ticket(
            sql,
            call.options,
            call.query_id,
            parameters=parameters,
            prepared_statement_handle=handle if unbound else None,
        ),
    )


def query_ticket(call: Call, ticket: QueryTicket) -> Answer:
    """Answer a ticket of this server.

    Raises:
        QueryCancelled: its query was cancelled.
        InvalidArgument: what it holds does not plan.
    """
    call.run(ticket.query_id)
    db_schema = ticket.db_schema if ticket.HasField("db_schema") else None
    context = call.query_context(time_range_of(ticket), db_schema, strict=ticket.strict)
    if ticket.HasField("substrait_plan"):
        check_plan(call, ticket.substrait_plan)
        call.statement = f"Substrait plan of {len(ticket.substrait_plan)} bytes"
        query = call.services.engine.plan_substrait(ticket.substrait_plan, context)
        return Answer(with_column_metadata(query.schema), ticket, query.batches, ticket.preserve_dictionary)
    call.statement = ticket.sql
    statement = read_statement(call, ticket.sql)
    if not statement.parameter_count and not ticket.HasField("parameters"):
        query = call.services.engine.plan(ticket.sql, context)
        return Answer(with_column_metadata(query.schema), ticket, query.batches, ticket.preserve_dictionary)
    open_statement = plan_open(call, statement, context)
    parameters = parameters_of(ticket)
    if parameters is None and ticket.HasField("prepared_statement_handle"):
        parameters = call.services.bound.get(ticket.prepared_statement_handle)
        if parameters is not None:
            # The ticket went out with the schema that these types lead to.
            parameters = cast_parameters(parameters, open_statement.parameters)
    if parameters is None:
        return Answer(open_statement.schema, ticket, _unbound(statement), ticket.preserve_dictionary)
    return _bound_answer(call, ticket, statement, parameters, context, open_statement.schema)


def read_statement(call: Call, sql: str) -> Statement:
    """The statement in a text that is as short as it must be.

    Raises:
        InvalidArgument: as `parse_statement`.
        LimitExceeded: it has more bytes or more placeholders than a statement may have.
    """
    limits = call.services.limits
    # The first look costs nothing, whatever was sent.
    size_bytes = len(sql) if len(sql) > limits.max_statement_bytes else len(sql.encode())
    _check_size("statement", size_bytes, limits.max_statement_bytes)
    return parse_statement(sql, limits.max_parameters)


def check_plan(call: Call, plan: bytes) -> None:
    """Raise LimitExceeded if a Substrait plan has more bytes than a statement may have."""
    _check_size("plan", len(plan), call.services.limits.max_statement_bytes)


def _check_size(what: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise LimitExceeded(
            f"the {what} has {size_bytes} bytes or more, this server allows {max_bytes}; "
            "bind values as parameters, or ask in several statements"
        )


@dataclass(frozen=True)
class OpenStatement:
    """What is known of a statement before its parameters are: its columns, and the types that it expects."""

    schema: pa.Schema
    parameters: pa.Schema


def plan_open(call: Call, statement: Statement, context: QueryContext) -> OpenStatement:
    """Plan a statement without values for its parameters.

    Raises:
        InvalidArgument: the statement does not plan.
    """
    prepared = call.services.engine.prepare(statement.numbered(), context)
    types = prepared.parameter_types
    untyped = frozenset(statement.parameter_names()) - types.keys()
    # A client must be able to set a parameter whose type is not known, and text takes every value.
    parameters = pa.schema([pa.field(name, types.get(name, pa.utf8())) for name in statement.parameter_names()])
    if untyped:
        with suppress(InvalidArgument):
            prepared = call.services.engine.prepare(statement.numbered(as_text=untyped), context)
    return OpenStatement(with_column_metadata(prepared.schema), parameters)


def check_parameters(statement: Statement, parameters: pa.Table) -> None:
    """Raise InvalidArgument unless `parameters` has a column for each parameter and one row at least."""
    if parameters.num_columns != statement.parameter_count or parameters.num_rows == 0:
        raise InvalidArgument(
            f"the statement takes {statement.parameter_count} parameters, "
            f"given: {parameters.num_rows} rows of {parameters.num_columns}"
        )


def _unbound(statement: Statement) -> Callable[[IsCancelled], Batches]:
    def batches(is_cancelled: IsCancelled) -> Batches:
        yield from ()
        raise InvalidArgument(f"the statement takes {statement.parameter_count} parameters, none are bound")

    return batches


def _bound_answer(
    call: Call,
    ticket: QueryTicket,
    statement: Statement,
    parameters: pa.Table,
    context: QueryContext,
    open_schema: pa.Schema,
) -> Answer:
    """Run the statement once for each row of parameters, one run after the other.

    Names and nullability of columns are those of the open statement: a value has neither.
    """
    check_parameters(statement, parameters)

    def plan(row: int) -> Query:
        values = [value_at(column, row) for column in parameters.columns]
        return call.services.engine.plan(statement.bound(values), context)

    first = plan(0)
    schema = pa.schema(
        [
            bound.with_name(field.name).with_nullable(field.nullable or bound.nullable)
            for field, bound in zip(open_schema, with_column_metadata(first.schema), strict=True)
        ]
    )

    def batches(is_cancelled: IsCancelled) -> Batches:
        for row in range(parameters.num_rows):
            query = first if row == 0 else plan(row)
            if query.schema.types != schema.types:
                raise InvalidArgument(f"parameters of row {row + 1} give other columns than those of row 1")
            for batch in query.batches(is_cancelled):
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    return Answer(schema, ticket, batches, ticket.preserve_dictionary)
