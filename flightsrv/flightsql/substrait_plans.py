"""Statements that come as Substrait plans, run at once or prepared. They take no parameters."""

import pyarrow as pa

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flight.streaming import stream_schema
from flightsrv.flightsql.handles import new_plan_handle
from flightsrv.flightsql.queries import query_ticket
from flightsrv.flightsql.refusals import refuse_transaction
from flightsrv.flightsql.tickets import make_ticket
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest,
    CommandStatementSubstraitPlan,
)
from udtf.errors import InvalidArgument


def statement_substrait_plan(call: Call, command: CommandStatementSubstraitPlan) -> Answer:
    """Answer a plan.

    Raises:
        InvalidArgument: there is no plan, or none that can be run here.
        NotOffered: it belongs to a transaction.
    """
    return _answer(call, command)


def create_prepared_substrait_plan(
    call: Call, request: ActionCreatePreparedSubstraitPlanRequest
) -> ActionCreatePreparedStatementResult:
    """Plan without running anything. Raises as `statement_substrait_plan`."""
    answer = _answer(call, request)
    return ActionCreatePreparedStatementResult(
        prepared_statement_handle=new_plan_handle(_plan_of(request)),
        dataset_schema=stream_schema(answer).serialize().to_pybytes(),
        parameter_schema=pa.schema([]).serialize().to_pybytes(),
        is_update=False,
    )


def _answer(call: Call, command: CommandStatementSubstraitPlan | ActionCreatePreparedSubstraitPlanRequest) -> Answer:
    refuse_transaction(command)
    return query_ticket(call, make_ticket("", call.options, call.query_id, substrait_plan=_plan_of(command)))


def _plan_of(command: CommandStatementSubstraitPlan | ActionCreatePreparedSubstraitPlanRequest) -> bytes:
    if not command.HasField("plan"):
        raise InvalidArgument("expected a Substrait plan, given: none")
    return command.plan.plan
