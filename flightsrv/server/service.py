"""The Flight service: the RPCs of the protocol, each a few lines that decode, hand over and encode."""

from collections.abc import Callable, Iterator
from contextlib import closing

import grpc

from flightsrv.server import handlers
from flightsrv.server.auth.authentication import Authentication
from flightsrv.server.call import Services
from flightsrv.server.connections import ConnectionWatch
from flightsrv.server.errors import NotOffered
from flightsrv.server.gate import Gate
from flightsrv.server.limits import MAX_MESSAGE_BYTES
from flightsrv.server.rpc import Messages, Reception, Rpc
from flightsrv.server.sessions import COOKIE, new_session_id
from flightsrv.server.stalls import StallWatch
from flightsrv.server.streaming import stream, stream_schema
from flightsrv.server.tickets import read_ticket
from flightsrv.server.upload import Upload
from flightsrv.wire.codec import decode, encode, pack, unpack
from flightsrv.wire.flight_data import encode_rows
from flightsrv.wire.flight_messages import (
    Action,
    ActionType,
    DescriptorType,
    FlightDescriptor,
    FlightEndpoint,
    FlightInfo,
    HandshakeResponse,
    PollInfo,
    PutResult,
    Result,
    SchemaResult,
    Ticket,
)
from flightsrv.wire.message import Message
from udtf.errors import InvalidArgument, LimitExceeded

NAME = "arrow.flight.protocol.FlightService"


class FlightService:
    """Answers RPCs. To gRPC a message is bytes, which are ours to read and to write."""

    def __init__(
        self,
        services: Services,
        gate: Gate,
        authentication: Authentication,
        stalls: StallWatch,
        connections: ConnectionWatch,
    ) -> None:
        self._authentication = authentication
        self._reception = Reception(services, gate, authentication, stalls, connections)
        self._limits = services.limits

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as gRPC takes it; RPCs that are not in it are UNIMPLEMENTED."""
        rpcs = {
            "GetFlightInfo": self._answering_once(get_flight_info),
            "PollFlightInfo": self._answering_once(poll_flight_info),
            "GetSchema": self._answering_once(get_schema),
            "Handshake": self._answering(self.handshake),
            "ListFlights": self._answering(list_flights),
            "DoGet": self._answering(do_get, self._limits.max_ticket_bytes),
            "DoPut": self._answering(do_put, MAX_MESSAGE_BYTES),
            "DoExchange": self._answering(do_exchange),
            "DoAction": self._answering(do_action, self._limits.max_info_bytes),
            "ListActions": self._answering(list_actions),
        }
        return grpc.method_handlers_generic_handler(NAME, rpcs)

    def handshake(self, rpc: Rpc) -> Messages:
        """Tell what to send with other calls, in headers and trailers, since clients look in either.

        Who calls is in the headers as well, whatever the messages say; a client that sends some waits for answers.
        """
        headers = self._authentication.handshake(rpc.headers)
        rpc.send_headers(headers)
        rpc.context.set_trailing_metadata(tuple(headers.items()))
        for _ in rpc.requests:
            yield encode(HandshakeResponse())

    # In both, requests are a stream to gRPC, so that none is read before it is known who calls.

    def _answering_once(self, answer: Callable[[Rpc], Message]) -> "grpc.RpcMethodHandler[bytes, bytes]":
        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with self._reception.receive(requests, context, self._limits.max_request_bytes) as rpc:
                return encode(answer(rpc))

        return grpc.stream_unary_rpc_method_handler(behavior)

    def _answering(
        self, answer: Callable[[Rpc], Messages], max_bytes: int | None = None
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        most = self._limits.max_request_bytes if max_bytes is None else max_bytes

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Messages:
            with self._reception.receive(requests, context, most) as rpc:
                yield from rpc.send(answer(rpc))

        return grpc.stream_stream_rpc_method_handler(behavior)


def get_flight_info(rpc: Rpc) -> FlightInfo:
    """Plan a query, and say by which ticket its rows are to be had."""
    descriptor = decode(FlightDescriptor, rpc.request())
    answer = handlers.answer(rpc.call, _command(descriptor))
    # No location: the client asks where it asked before, whatever the name it knows this server by.
    endpoint = FlightEndpoint(Ticket(pack(answer.ticket)))
    return FlightInfo((endpoint,), stream_schema(answer).serialize().to_pybytes(), descriptor)


def poll_flight_info(rpc: Rpc) -> PollInfo:
    """The same for a client that is prepared to wait: rows are made when they are asked for, so it is complete."""
    return PollInfo(get_flight_info(rpc), progress=1.0)


def get_schema(rpc: Rpc) -> SchemaResult:
    """Tell the columns of a query."""
    answer = handlers.answer(rpc.call, _command(decode(FlightDescriptor, rpc.request())))
    return SchemaResult(stream_schema(answer).serialize().to_pybytes())


def do_get(rpc: Rpc) -> Messages:
    """Send the rows of a ticket."""
    answer = handlers.answer(rpc.call, read_ticket(decode(Ticket, rpc.request()).ticket))
    with closing(stream(rpc.call, answer)) as rows:
        yield from encode_rows(stream_schema(answer), rows)


def do_put(rpc: Rpc) -> Messages:
    """Take rows."""
    upload = Upload(rpc.requests)
    command = _command(upload.descriptor, rpc.call.services.limits.max_request_bytes)
    yield encode(PutResult(encode(handlers.put(rpc.call, command, upload))))


def do_action(rpc: Rpc) -> Messages:
    """Do an action. A client without a session gets one."""
    if not rpc.call.session_id:
        rpc.call.session_id = new_session_id()
        rpc.send_headers({"set-cookie": f"{COOKIE}={rpc.call.session_id}; Path=/"})
    action = decode(Action, rpc.request())
    result = handlers.act(rpc.call, action.type, action.body)
    if result is not None:
        yield encode(Result(result))


def list_actions(rpc: Rpc) -> Messages:
    """Tell which actions there are."""
    for name, action in handlers.ACTIONS.items():
        yield encode(ActionType(name, action.description))


def list_flights(rpc: Rpc) -> Messages:
    """Refuse."""
    raise NotOffered("streams are not listed, but made by statements; GetTables lists tables")


def do_exchange(rpc: Rpc) -> Messages:
    """Refuse."""
    raise NotOffered("DoExchange is not offered: run statements, and ingest telemetry by DoPut")


def _command(descriptor: FlightDescriptor | None, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    if descriptor is None or descriptor.type != DescriptorType.CMD:
        raise InvalidArgument("expected a descriptor with a Flight SQL command, given: a path or nothing")
    if len(descriptor.cmd) > max_bytes:
        raise LimitExceeded(f"a command has {len(descriptor.cmd)} bytes, this one may have {max_bytes}")
    return unpack(descriptor.cmd)
