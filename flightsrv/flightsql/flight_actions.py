"""Actions on what GetFlightInfo answered: cancelling the query behind it, keeping its tickets alive."""

from collections.abc import Mapping

from flightsrv.flight.call import Call
from flightsrv.flightsql.tickets import read_ticket
from flightsrv.policy.auth.principal import Role
from flightsrv.wire.codec import decode
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    CancelFlightInfoResult,
    CancelStatus,
    FlightEndpoint,
    FlightInfo,
    RenewFlightEndpointRequest,
)
from flightsrv.wire.flight_sql_pb2 import ActionCancelQueryRequest, ActionCancelQueryResult
from flightsrv.wire.ticket_pb2 import QueryTicket
from udtf.errors import InvalidArgument

CANCEL_PATIENCE_S = 1.0

_RESULTS: Mapping[CancelStatus, ActionCancelQueryResult.CancelResult] = {
    CancelStatus.CANCEL_STATUS_CANCELLED: ActionCancelQueryResult.CANCEL_RESULT_CANCELLED,
    CancelStatus.CANCEL_STATUS_CANCELLING: ActionCancelQueryResult.CANCEL_RESULT_CANCELLING,
    CancelStatus.CANCEL_STATUS_NOT_CANCELLABLE: ActionCancelQueryResult.CANCEL_RESULT_NOT_CANCELLABLE,
}
"""How older clients are told."""


def cancel_flight_info(call: Call, request: CancelFlightInfoRequest) -> CancelFlightInfoResult:
    """Cancel a query.

    Raises:
        InvalidArgument: no endpoint with a ticket of this server was given.
        PermissionDenied: the caller may not read.
    """
    return CancelFlightInfoResult(status=_cancel(call, request.info))


def cancel_query(call: Call, request: ActionCancelQueryRequest) -> ActionCancelQueryResult:
    """The same, as older clients ask for it."""
    return ActionCancelQueryResult(result=_RESULTS[_cancel(call, decode(FlightInfo, request.info))])


def renew_flight_endpoint(call: Call, request: RenewFlightEndpointRequest) -> FlightEndpoint:
    """Answer with an endpoint that does not expire, since tickets hold all that is needed; parameters that it waits for
    count as used.

    Raises:
        InvalidArgument: not an endpoint of this server.
    """
    endpoint = request.endpoint
    ticket = _ticket(endpoint)
    if isinstance(ticket, QueryTicket) and ticket.HasField("prepared_statement_handle"):
        call.services.bound.get(ticket.prepared_statement_handle)
    return FlightEndpoint(ticket=endpoint.ticket, location=endpoint.location, app_metadata=endpoint.app_metadata)


def _cancel(call: Call, info: FlightInfo) -> CancelStatus:
    call.principal.require(Role.READER, "to cancel a query")
    if not info.endpoint:
        raise InvalidArgument("expected a FlightInfo with an endpoint, given: one without")
    tickets = [_ticket(endpoint) for endpoint in info.endpoint]
    query_ids = [ticket.query_id for ticket in tickets if isinstance(ticket, QueryTicket)]
    if len(query_ids) < len(tickets):
        return CancelStatus.CANCEL_STATUS_NOT_CANCELLABLE
    have_ended = [call.services.running.cancel(query_id, CANCEL_PATIENCE_S) for query_id in query_ids]
    return CancelStatus.CANCEL_STATUS_CANCELLED if all(have_ended) else CancelStatus.CANCEL_STATUS_CANCELLING


def _ticket(endpoint: FlightEndpoint) -> object:
    if not endpoint.HasField("ticket"):
        raise InvalidArgument("expected an endpoint with a ticket, given: one without")
    return read_ticket(endpoint.ticket.ticket)
