"""Prepared statements, from prepare to close. Running one is a query (`queries`)."""

import pyarrow as pa

from flightsrv.flight.call import Call
from flightsrv.flight.streaming import sent_schema
from flightsrv.flight.upload import Upload
from flightsrv.flightsql.handles import new_handle, statement_of
from flightsrv.flightsql.queries import check_parameters, plan_open, read_statement
from flightsrv.flightsql.refusals import refuse_transaction
from flightsrv.policy.auth.principal import Role
from flightsrv.policy.limits import MAX_BOUND_BYTES, MAX_BOUND_ROWS
from flightsrv.wire.flight_sql_pb2 import (
    ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    DoPutPreparedStatementResult,
)
from udtf.errors import InvalidArgument, LimitExceeded


def create_prepared_statement(
    call: Call, request: ActionCreatePreparedStatementRequest
) -> ActionCreatePreparedStatementResult:
    """Plan a statement, parameters open, without running anything.

    It is never an update: a statement that would change something does not plan.

    Raises:
        InvalidArgument: the statement does not plan.
        NotOffered: it belongs to a transaction.
    """
    call.statement = request.query
    refuse_transaction(request)
    options = call.options
    context = call.query_context(options.time_range, options.db_schema, strict=options.strict)
    planned = plan_open(call, read_statement(call, request.query), context)
    schema = sent_schema(planned.schema, preserve_dictionary=options.preserve_dictionary)
    return ActionCreatePreparedStatementResult(
        prepared_statement_handle=new_handle(request.query),
        dataset_schema=schema.serialize().to_pybytes(),
        parameter_schema=planned.parameters.serialize().to_pybytes(),
        is_update=False,
    )


def bind_parameters(call: Call, command: CommandPreparedStatementQuery, upload: Upload) -> DoPutPreparedStatementResult:
    """Bind the rows of an upload: the statement runs once for each.

    Raises:
        InvalidArgument: not a prepared statement, or the upload does not have its parameters.
        LimitExceeded: they are too large to be kept.
        PermissionDenied: the caller may not read.
    """
    call.principal.require(Role.READER, "to bind parameters")
    handle = command.prepared_statement_handle
    call.statement = statement_of(handle)
    statement = read_statement(call, call.statement)
    parameters = _received(call, upload, MAX_BOUND_BYTES - len(handle))
    check_parameters(statement, parameters)
    call.services.bound.put(handle, parameters)
    return DoPutPreparedStatementResult(prepared_statement_handle=handle)


def _received(call: Call, upload: Upload, max_bytes: int) -> pa.Table:
    """The rows of an upload in memory of their own: what came holds on to all of its messages, whatever is in them."""
    sink = pa.BufferOutputStream()
    writer: pa.RecordBatchStreamWriter | None = None
    for batch in upload.batches():
        writer = writer or pa.ipc.new_stream(sink, batch.schema)
        call.rows += batch.num_rows
        if call.rows > MAX_BOUND_ROWS:
            raise InvalidArgument(f"a statement takes at most {MAX_BOUND_ROWS} rows of parameters")
        if batch.num_rows:
            writer.write_batch(batch)
        if sink.tell() > max_bytes:
            raise LimitExceeded(f"a statement and its parameters take at most {MAX_BOUND_BYTES >> 20} MiB")
    if writer is None:
        raise InvalidArgument("the upload has no row of parameters")
    writer.close()
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def close_prepared_statement(call: Call, request: ActionClosePreparedStatementRequest) -> None:
    """Forget the parameters of a prepared statement."""
    call.services.bound.forget(request.prepared_statement_handle)
