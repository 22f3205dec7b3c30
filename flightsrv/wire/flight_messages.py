"""Messages that the RPCs of Flight take and answer, bare."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from flightsrv.wire.message import Message

FLIGHT = "arrow.flight.protocol"

# ---- Handshakes


@dataclass(frozen=True)
class HandshakeResponse(Message):
    package: ClassVar[str] = FLIGHT
    protocol_version: int = 0
    payload: bytes = b""


# ---- What a caller asks about, and where it is to be had


class DescriptorType(IntEnum):
    """What a descriptor holds."""

    UNKNOWN = 0
    PATH = 1
    CMD = 2


@dataclass(frozen=True)
class FlightDescriptor(Message):
    package: ClassVar[str] = FLIGHT
    type: int = DescriptorType.UNKNOWN
    cmd: bytes = b""
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ticket(Message):
    package: ClassVar[str] = FLIGHT
    ticket: bytes


@dataclass(frozen=True)
class Location(Message):
    package: ClassVar[str] = FLIGHT
    uri: str


@dataclass(frozen=True)
class Timestamp(Message):
    package: ClassVar[str] = "google.protobuf"
    seconds: int
    nanos: int = 0


@dataclass(frozen=True)
class FlightEndpoint(Message):
    package: ClassVar[str] = FLIGHT
    ticket: Ticket | None = None
    location: tuple[Location, ...] = ()
    expiration_time: Timestamp | None = None
    app_metadata: bytes = b""


@dataclass(frozen=True)
class FlightInfo(Message):
    """Numbers of -1 are not known."""

    package: ClassVar[str] = FLIGHT
    endpoint: tuple[FlightEndpoint, ...] = ()
    schema: bytes = b""
    flight_descriptor: FlightDescriptor | None = None
    total_records: int = -1
    total_bytes: int = -1
    ordered: bool = False
    app_metadata: bytes = b""


@dataclass(frozen=True)
class PollInfo(Message):
    """Complete if there is no descriptor to ask on with."""

    package: ClassVar[str] = FLIGHT
    info: FlightInfo | None = None
    flight_descriptor: FlightDescriptor | None = None
    progress: float | None = None
    expiration_time: Timestamp | None = None


@dataclass(frozen=True)
class SchemaResult(Message):
    package: ClassVar[str] = FLIGHT
    schema: bytes


@dataclass(frozen=True)
class FlightData(Message):
    """An Arrow message in a stream of rows (`flight_data`); the first one of an upload says what the rows are for."""

    package: ClassVar[str] = FLIGHT
    flight_descriptor: FlightDescriptor | None = None
    data_header: bytes = b""
    app_metadata: bytes = b""
    data_body: bytes = b""


@dataclass(frozen=True)
class PutResult(Message):
    package: ClassVar[str] = FLIGHT
    app_metadata: bytes


# ---- Actions, whose bodies and results are messages of Flight SQL, or in `action_messages`


@dataclass(frozen=True)
class ActionType(Message):
    package: ClassVar[str] = FLIGHT
    type: str
    description: str


@dataclass(frozen=True)
class Action(Message):
    package: ClassVar[str] = FLIGHT
    type: str
    body: bytes


@dataclass(frozen=True)
class Result(Message):
    package: ClassVar[str] = FLIGHT
    body: bytes
