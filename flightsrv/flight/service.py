"""The Flight service: the RPCs of the protocol, each a few lines that decode, hand over and encode."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Protocol

import grpc

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call, Services
from flightsrv.flight.connections import ConnectionWatch
from flightsrv.flight.errors import NotOffered
from flightsrv.flight.rpc import Messages, Reception, Rpc
from flightsrv.flight.stalls import StallWatch
from flightsrv.flight.streaming import stream, stream_schema
from flightsrv.flight.upload import Upload
from flightsrv.policy.auth.authentication import Authentication
from flightsrv.policy.gate import Gate
from flightsrv.policy.limits import MAX_MESSAGE_BYTES
from flightsrv.policy.sessions import COOKIE, new_session_id
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


class Commands(Protocol):
    """What is behind descriptors, tickets and actions: functions that take a call, whatever the transport.

    They raise UdtfError, which is a status for the client.
    """

    def answer(self, call: Call, command: Message) -> Answer:
        """Plan the answer to the command of a descriptor."""

    def answer_ticket(self, call: Call, ticket: bytes) -> Answer:
        """Plan the rows of a ticket."""

    def put(self, call: Call, command: Message, upload: Upload) -> Message:
        """Take the rows of an upload, and answer with the metadata of its result."""

    def act(self, call: Call, name: str, body: bytes) -> bytes | None:
        """Do an action, and answer with its result, if it has one."""

    def actions(self) -> Iterator[tuple[str, str]]:
        """Names and descriptions of all actions."""


class FlightService:
    """Answers RPCs. To gRPC a message is bytes, which are ours to read and to write."""

    def __init__(
        self,
        commands: Commands,
        services: Services,
        gate: Gate,
        authentication: Authentication,
        stalls: StallWatch,
        connections: ConnectionWatch,
    ) -> None:
        self._commands = commands
        self._authentication = authentication
        self._reception = Reception(services, gate, authentication, stalls, connections)
        self._limits = services.limits

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as gRPC takes it; RPCs that are not in it are UNIMPLEMENTED."""
        rpcs = {
            "GetFlightInfo": self._answering_once(self.get_flight_info),
            "PollFlightInfo": self._answering_once(self.poll_flight_info),
            "GetSchema": self._answering_once(self.get_schema),
            "Handshake": self._answering(self.handshake),
            "ListFlights": self._answering(self.list_flights),
            "DoGet": self._answering(self.do_get, self._limits.max_ticket_bytes),
            "DoPut": self._answering(self.do_put, MAX_MESSAGE_BYTES),
            "DoExchange": self._answering(self.do_exchange),
            "DoAction": self._answering(self.do_action, self._limits.max_info_bytes),
            "ListActions": self._answering(self.list_actions),
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

    def get_flight_info(self, rpc: Rpc) -> FlightInfo:
        """Plan a query, and say by which ticket its rows are to be had."""
        descriptor = decode(FlightDescriptor, rpc.request())
        answer = self._commands.answer(rpc.call, _command(descriptor))
        # No location: the client asks where it asked before, whatever the name it knows this server by.
        endpoint = FlightEndpoint(Ticket(pack(answer.ticket)))
        return FlightInfo((endpoint,), stream_schema(answer).serialize().to_pybytes(), descriptor)

    def poll_flight_info(self, rpc: Rpc) -> PollInfo:
        """The same for a client that is prepared to wait: rows are made when they are asked for, so it is complete."""
        return PollInfo(self.get_flight_info(rpc), progress=1.0)

    def get_schema(self, rpc: Rpc) -> SchemaResult:
        """Tell the columns of a query."""
        answer = self._commands.answer(rpc.call, _command(decode(FlightDescriptor, rpc.request())))
        return SchemaResult(stream_schema(answer).serialize().to_pybytes())

    def do_get(self, rpc: Rpc) -> Messages:
        """Send the rows of a ticket."""
        answer = self._commands.answer_ticket(rpc.call, decode(Ticket, rpc.request()).ticket)
        with closing(stream(rpc.call, answer)) as rows:
            yield from encode_rows(stream_schema(answer), rows)

    def do_put(self, rpc: Rpc) -> Messages:
        """Take rows."""
        upload = Upload(rpc.requests)
        command = _command(upload.descriptor, rpc.call.services.limits.max_request_bytes)
        yield encode(PutResult(encode(self._commands.put(rpc.call, command, upload))))

    def do_action(self, rpc: Rpc) -> Messages:
        """Do an action. A client without a session gets one."""
        if not rpc.call.session_id:
            rpc.call.session_id = new_session_id()
            rpc.send_headers({"set-cookie": f"{COOKIE}={rpc.call.session_id}; Path=/"})
        action = decode(Action, rpc.request())
        result = self._commands.act(rpc.call, action.type, action.body)
        if result is not None:
            yield encode(Result(result))

    def list_actions(self, rpc: Rpc) -> Messages:
        """Tell which actions there are."""
        for name, description in self._commands.actions():
            yield encode(ActionType(name, description))

    def list_flights(self, rpc: Rpc) -> Messages:
        """Refuse."""
        raise NotOffered("streams are not listed, but made by statements; GetTables lists tables")

    def do_exchange(self, rpc: Rpc) -> Messages:
        """Refuse."""
        raise NotOffered("DoExchange is not offered: run statements, and ingest telemetry by DoPut")

    # In both, requests are a stream to gRPC, so that none is read before the caller is authenticated.

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


def _command(descriptor: FlightDescriptor | None, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    if descriptor is None or descriptor.type != DescriptorType.CMD:
        raise InvalidArgument("expected a descriptor with a Flight SQL command, given: a path or nothing")
    if len(descriptor.cmd) > max_bytes:
        raise LimitExceeded(f"a command has {len(descriptor.cmd)} bytes, this one may have {max_bytes}")
    return unpack(descriptor.cmd)
