"""Cancelling a query by what GetFlightInfo answered, and renewing its endpoints."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    CancelFlightInfoResult,
    CancelStatus,
    FlightEndpoint,
    FlightInfo,
    Location,
    RenewFlightEndpointRequest,
    Ticket,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionCancelQueryRequest,
    ActionCancelQueryResult,
    CommandGetCatalogs,
    CommandStatementQuery,
)
from tests.server.clients import descriptor
from tests.server.fakes import TIMEOUT_S, FakeEngine


def cancel_flight_info(connection: flight.FlightClient, info: flight.FlightInfo) -> int:
    request = CancelFlightInfoRequest(info=decode(FlightInfo, info.serialize()))
    (result,) = connection.do_action(("CancelFlightInfo", request.SerializeToString()))
    return decode(CancelFlightInfoResult, result.body.to_pybytes()).status


def cancel_query(connection: flight.FlightClient, info: flight.FlightInfo) -> int:
    (result,) = connection.do_action(("CancelQuery", pack(ActionCancelQueryRequest(info=info.serialize()))))
    answer = unpack(result.body.to_pybytes())
    assert isinstance(answer, ActionCancelQueryResult)
    return answer.result


def read_on(reader: flight.FlightStreamReader) -> None:
    """Read to the end. (`read_all` takes CANCELLED from a server for Ctrl-C.)"""
    for _ in reader:
        pass


Cancel = Callable[[flight.FlightClient, flight.FlightInfo], int]
both_ways = pytest.mark.parametrize("cancel", [cancel_flight_info, cancel_query])


@both_ways
def test_running_query_is_cancelled_from_another_connection(
    fake_server: RunningServer, fake_connection: flight.FlightClient, engine: FakeEngine, cancel: Cancel
) -> None:
    """Its work ends, its reader hears why, and whoever comes later with the same ticket as well."""
    info = fake_connection.get_flight_info(descriptor(CommandStatementQuery(query="wait")))
    (endpoint,) = info.endpoints
    readers = [fake_connection.do_get(endpoint.ticket) for _ in range(2)]
    for reader in readers:
        reader.read_chunk()
    with flight.connect(fake_server.url) as other:
        assert cancel(other, info) == CancelStatus.CANCEL_STATUS_CANCELLED
        assert engine.ended.wait(TIMEOUT_S)
    for reader in readers:
        with pytest.raises(flight.FlightCancelledError, match="the query was cancelled"):
            read_on(reader)
    with pytest.raises(flight.FlightCancelledError, match="the query was cancelled"):
        fake_connection.do_get(endpoint.ticket)


@both_ways
def test_query_that_takes_its_time_to_end_is_cancelling(
    fake_connection: flight.FlightClient, engine: FakeEngine, cancel: Cancel
) -> None:
    """The answer does not wait for ever; asked again, it says that it is done."""
    info = fake_connection.get_flight_info(descriptor(CommandStatementQuery(query="deaf")))
    reader = fake_connection.do_get(info.endpoints[0].ticket)
    reader.read_chunk()
    assert cancel(fake_connection, info) == CancelStatus.CANCEL_STATUS_CANCELLING
    engine.released.set()
    with pytest.raises(flight.FlightCancelledError):
        read_on(reader)
    assert cancel(fake_connection, info) == CancelStatus.CANCEL_STATUS_CANCELLED


@both_ways
def test_other_queries_go_on(fake_connection: flight.FlightClient, engine: FakeEngine, cancel: Cancel) -> None:
    """Also one of the same statement."""
    infos = [fake_connection.get_flight_info(descriptor(CommandStatementQuery(query="wait"))) for _ in range(2)]
    reader = fake_connection.do_get(infos[0].endpoints[0].ticket)
    reader.read_chunk()
    assert cancel(fake_connection, infos[1]) == CancelStatus.CANCEL_STATUS_CANCELLED
    engine.released.set()
    assert reader.read_chunk().data["n"].to_pylist() == [1]


@both_ways
def test_metadata_is_not_cancellable(connection: flight.FlightClient, cancel: Cancel) -> None:
    """It is there at once."""
    info = connection.get_flight_info(descriptor(CommandGetCatalogs()))
    assert cancel(connection, info) == CancelStatus.CANCEL_STATUS_NOT_CANCELLABLE


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("CancelFlightInfo", b"\xff"),
        ("CancelFlightInfo", b""),
        ("CancelFlightInfo", CancelFlightInfoRequest(info=FlightInfo()).SerializeToString()),
        (
            "CancelFlightInfo",
            CancelFlightInfoRequest(info=FlightInfo(endpoint=(FlightEndpoint(),))).SerializeToString(),
        ),
        (
            "CancelFlightInfo",
            CancelFlightInfoRequest(
                info=FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=b"x")),))
            ).SerializeToString(),
        ),
        ("CancelQuery", pack(ActionCancelQueryRequest(info=b"\xff"))),
        ("CancelQuery", pack(CommandGetCatalogs())),
        ("CancelQuery", ActionCancelQueryRequest(info=b"").SerializeToString()),
        ("RenewFlightEndpoint", b""),
        (
            "RenewFlightEndpoint",
            RenewFlightEndpointRequest(endpoint=FlightEndpoint(ticket=Ticket(ticket=b"x"))).SerializeToString(),
        ),
    ],
)
def test_garbage_is_refused(connection: flight.FlightClient, action: str, body: bytes) -> None:
    """Neither a FlightInfo of ours nor any."""
    with pytest.raises(pa.ArrowInvalid) as refused:
        list(connection.do_action((action, body)))
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("command", [CommandGetCatalogs(), CommandStatementQuery(query="SELECT 7 AS catalog_name")])
def test_renewed_endpoint_does_not_expire(connection: flight.FlightClient, command: Message) -> None:
    """Tickets hold all that is needed."""
    info = decode(FlightInfo, connection.get_flight_info(descriptor(command)).serialize())
    (endpoint,) = info.endpoint
    assert not endpoint.HasField("expiration_time")
    locations = (Location(uri="grpc://elsewhere:1"),)
    expiring = FlightEndpoint(
        ticket=endpoint.ticket, location=locations, expiration_time={"seconds": 1}, app_metadata=b"metadata"
    )
    (result,) = connection.do_action(
        ("RenewFlightEndpoint", RenewFlightEndpointRequest(endpoint=expiring).SerializeToString())
    )
    renewed = decode(FlightEndpoint, result.body.to_pybytes())
    assert renewed == FlightEndpoint(
        ticket=endpoint.ticket, location=locations, expiration_time=None, app_metadata=b"metadata"
    )
    assert connection.do_get(flight.Ticket(renewed.ticket.ticket)).read_all().num_rows == 1
