"""Which function answers which command.

Functions are plain: a call and a decoded command in, a value out, whatever the transport.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flight.errors import NotOffered
from flightsrv.flight.upload import Upload
from flightsrv.flightsql import (
    catalog,
    flight_actions,
    ingest,
    keys,
    prepared_statements,
    queries,
    refusals,
    session_actions,
    sql_info,
    substrait_plans,
    type_info,
)
from flightsrv.flightsql.tickets import read_ticket
from flightsrv.wire import flight_pb2
from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    CloseSessionRequest,
    GetSessionOptionsRequest,
    RenewFlightEndpointRequest,
    SetSessionOptionsRequest,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionCancelQueryRequest,
    ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest,
    CommandGetCatalogs,
    CommandGetCrossReference,
    CommandGetDbSchemas,
    CommandGetExportedKeys,
    CommandGetImportedKeys,
    CommandGetPrimaryKeys,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandGetTableTypes,
    CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate,
    CommandStatementIngest,
    CommandStatementQuery,
    CommandStatementSubstraitPlan,
    CommandStatementUpdate,
    TicketStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from udtf.errors import InvalidArgument, LimitExceeded

QUERIES: Mapping[type[Message], Callable[[Call, Any], Answer]] = {
    CommandStatementQuery: queries.statement_query,
    CommandPreparedStatementQuery: queries.prepared_query,
    CommandStatementSubstraitPlan: substrait_plans.statement_substrait_plan,
    TicketStatementQuery: queries.statement_ticket,
    QueryTicket: queries.query_ticket,
    CommandGetCatalogs: catalog.get_catalogs,
    CommandGetDbSchemas: catalog.get_db_schemas,
    CommandGetTables: catalog.get_tables,
    CommandGetTableTypes: catalog.get_table_types,
    CommandGetPrimaryKeys: keys.get_primary_keys,
    CommandGetExportedKeys: keys.get_foreign_keys,
    CommandGetImportedKeys: keys.get_foreign_keys,
    CommandGetCrossReference: keys.get_foreign_keys,
    CommandGetSqlInfo: sql_info.get_sql_info,
    CommandGetXdbcTypeInfo: type_info.get_xdbc_type_info,
}
"""Commands in descriptors of GetSchema and GetFlightInfo, and in tickets of DoGet."""

UPLOADS: Mapping[type[Message], Callable[[Call, Any, Upload], Message]] = {
    CommandStatementIngest: ingest.ingest,
    CommandPreparedStatementQuery: prepared_statements.bind_parameters,
    CommandStatementUpdate: refusals.refuse_update,
    CommandPreparedStatementUpdate: refusals.refuse_update,
}
"""Commands in descriptors of DoPut."""


@dataclass(frozen=True)
class Action:
    """An action that clients may call by name, with `request` in its body; `takes_info` if a FlightInfo is in that."""

    description: str
    request: type[Message]
    handler: Callable[[Call, Any], Message | None]
    takes_info: bool = False


ACTIONS: Mapping[str, Action] = {
    "CreatePreparedStatement": Action(
        "Plan a statement to run it later, also with parameters",
        ActionCreatePreparedStatementRequest,
        prepared_statements.create_prepared_statement,
    ),
    "CreatePreparedSubstraitPlan": Action(
        "Plan a Substrait plan to run it later",
        ActionCreatePreparedSubstraitPlanRequest,
        substrait_plans.create_prepared_substrait_plan,
    ),
    "ClosePreparedStatement": Action(
        "Forget a prepared statement",
        ActionClosePreparedStatementRequest,
        prepared_statements.close_prepared_statement,
    ),
    "CancelFlightInfo": Action(
        "Cancel a query", CancelFlightInfoRequest, flight_actions.cancel_flight_info, takes_info=True
    ),
    "CancelQuery": Action(
        "Cancel a query, for clients that do not know CancelFlightInfo",
        ActionCancelQueryRequest,
        flight_actions.cancel_query,
        takes_info=True,
    ),
    "RenewFlightEndpoint": Action(
        "Keep a ticket from expiring",
        RenewFlightEndpointRequest,
        flight_actions.renew_flight_endpoint,
        takes_info=True,
    ),
    "SetSessionOptions": Action(
        "Set options for all calls of a session", SetSessionOptionsRequest, session_actions.set_session_options
    ),
    "GetSessionOptions": Action(
        "Tell the options of a session", GetSessionOptionsRequest, session_actions.get_session_options
    ),
    "CloseSession": Action("Forget a session", CloseSessionRequest, session_actions.close_session),
}

H = TypeVar("H")


def answer(call: Call, command: Message) -> Answer:
    """Plan the answer to a query.

    Raises:
        NotOffered: the command is no query.
        UdtfError: what the handler raises.
    """
    return _find(QUERIES, command)(call, command)


def answer_ticket(call: Call, ticket: bytes) -> Answer:
    """Plan the rows of a ticket.

    Raises:
        MalformedMessage: the bytes are no ticket.
        UdtfError: as `answer`.
    """
    return answer(call, read_ticket(ticket))


def put(call: Call, command: Message, upload: Upload) -> Message:
    """Take an upload. Raises as `answer`."""
    return _find(UPLOADS, command)(call, command, upload)


def act(call: Call, name: str, body: bytes) -> bytes | None:
    """Do an action, and answer with the encoded result.

    Messages of Flight SQL travel in Any, those of Flight itself bare.

    Raises:
        NotOffered: there is no such action.
        MalformedMessage: the body is not what the action takes.
        LimitExceeded: the body is larger than this action needs.
        UdtfError: what the handler raises.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise NotOffered(refusals.ACTIONS.get(name, f"action {name[:100]} is not offered"))
    limits = call.services.limits
    max_bytes = limits.max_info_bytes if action.takes_info else limits.max_request_bytes
    if len(body) > max_bytes:
        raise LimitExceeded(f"the body of {name} has {len(body)} bytes, it may have {max_bytes}")
    if action.request.DESCRIPTOR.file.package == flight_pb2.DESCRIPTOR.package:
        result = action.handler(call, decode(action.request, body))
        return None if result is None else result.SerializeToString()
    request = unpack(body)
    if not isinstance(request, action.request):
        raise InvalidArgument(f"action {name} takes a {action.request.__name__}, given: {type(request).__name__}")
    result = action.handler(call, request)
    return None if result is None else pack(result)


def actions() -> Iterator[tuple[str, str]]:
    """Names of all actions, with what they do."""
    return ((name, action.description) for name, action in ACTIONS.items())


def _find(handlers: Mapping[type[Message], H], command: Message) -> H:
    handler = handlers.get(type(command))
    if handler is None:
        raise NotOffered(f"{type(command).__name__} is not offered here")
    return handler
