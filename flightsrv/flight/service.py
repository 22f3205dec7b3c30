"""The Flight service: the methods of the protocol, whatever the transport."""

from collections.abc import Generator, Iterator
from typing import NoReturn, Protocol

import pyarrow as pa
from google.protobuf.message import Message

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flight.errors import NotOffered
from flightsrv.flight.streaming import stream, stream_schema
from flightsrv.flight.upload import Upload
from flightsrv.policy.limits import MAX_MESSAGE_BYTES
from flightsrv.wire.codec import pack, unpack
from flightsrv.wire.flight_data import Rows
from flightsrv.wire.flight_pb2 import (
    Action,
    ActionType,
    FlightDescriptor,
    FlightEndpoint,
    FlightInfo,
    PollInfo,
    PutResult,
    Result,
    SchemaResult,
    Ticket,
)
from udtf.errors import InvalidArgument, LimitExceeded


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
    """Answers calls, with messages of the protocol; a transport has them from bytes, or from a library.

    All methods raise what the commands raise.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def get_flight_info(self, call: Call, descriptor: FlightDescriptor) -> FlightInfo:
        """Plan a query, and say by which ticket its rows are to be had."""
        answer = self._commands.answer(call, _command(descriptor))
        # No location: the client asks where it asked before, whatever the name it knows this server by.
        endpoint = FlightEndpoint(ticket=Ticket(ticket=pack(answer.ticket)))
        return FlightInfo(
            schema=stream_schema(answer).serialize().to_pybytes(),
            flight_descriptor=descriptor,
            endpoint=[endpoint],
            total_records=-1,  # not known
            total_bytes=-1,
        )

    def poll_flight_info(self, call: Call, descriptor: FlightDescriptor) -> PollInfo:
        """The same for a client that is prepared to wait: rows are made when they are asked for, so it is complete."""
        return PollInfo(info=self.get_flight_info(call, descriptor), progress=1.0)

    def get_schema(self, call: Call, descriptor: FlightDescriptor) -> SchemaResult:
        """Tell the columns of a query."""
        answer = self._commands.answer(call, _command(descriptor))
        return SchemaResult(schema=stream_schema(answer).serialize().to_pybytes())

    def do_get(self, call: Call, ticket: Ticket) -> tuple[pa.Schema, Generator[Rows, None, None]]:
        """The rows of a ticket, and their schema. Closing them stops the work."""
        answer = self._commands.answer_ticket(call, ticket.ticket)
        return stream_schema(answer), stream(call, answer)

    def do_put(self, call: Call, upload: Upload) -> PutResult:
        """Take rows."""
        command = _command(upload.descriptor, call.services.limits.max_request_bytes)
        return PutResult(app_metadata=self._commands.put(call, command, upload).SerializeToString())

    def do_action(self, call: Call, action: Action) -> Result | None:
        """Do an action."""
        result = self._commands.act(call, action.type, action.body)
        return None if result is None else Result(body=result)

    def list_actions(self) -> Iterator[ActionType]:
        """Tell which actions there are."""
        for name, description in self._commands.actions():
            yield ActionType(type=name, description=description)

    def list_flights(self) -> NoReturn:
        """Refuse."""
        raise NotOffered("streams are not listed, but made by statements; GetTables lists tables")

    def do_exchange(self) -> NoReturn:
        """Refuse."""
        raise NotOffered("DoExchange is not offered: run statements, and ingest telemetry by DoPut")


def _command(descriptor: FlightDescriptor | None, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    if descriptor is None or descriptor.type != FlightDescriptor.CMD:
        raise InvalidArgument("expected a descriptor with a Flight SQL command, given: a path or nothing")
    if len(descriptor.cmd) > max_bytes:
        raise LimitExceeded(f"a command has {len(descriptor.cmd)} bytes, this one may have {max_bytes}")
    return unpack(descriptor.cmd)
