"""Bodies and results of actions that Flight itself defines; they travel bare."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar

from flightsrv.wire.flight_messages import FLIGHT, FlightEndpoint, FlightInfo
from flightsrv.wire.message import Message

# ---- Cancelling, renewing


class CancelStatus(IntEnum):
    """What came of a wish to cancel, for both actions that there are."""

    UNSPECIFIED = 0
    CANCELLED = 1
    CANCELLING = 2
    NOT_CANCELLABLE = 3


@dataclass(frozen=True)
class CancelFlightInfoRequest(Message):
    package: ClassVar[str] = FLIGHT
    info: FlightInfo | None = None


@dataclass(frozen=True)
class CancelFlightInfoResult(Message):
    package: ClassVar[str] = FLIGHT
    status: int = CancelStatus.UNSPECIFIED


@dataclass(frozen=True)
class RenewFlightEndpointRequest(Message):
    package: ClassVar[str] = FLIGHT
    endpoint: FlightEndpoint | None = None


# ---- Sessions


@dataclass(frozen=True)
class StringListValue(Message):
    package: ClassVar[str] = f"{FLIGHT}.SessionOptionValue"
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionOptionValue(Message):
    """One of these; none at all unsets the option."""

    package: ClassVar[str] = FLIGHT
    string_value: str | None = None
    bool_value: bool | None = None
    int64_value: int | None = None
    double_value: float | None = None
    string_list_value: StringListValue | None = None


@dataclass(frozen=True)
class SetSessionOptionsRequest(Message):
    package: ClassVar[str] = FLIGHT
    session_options: Mapping[str, SessionOptionValue] = field(default_factory=lambda: MappingProxyType({}))


class OptionError(IntEnum):
    """Why an option was refused."""

    UNSPECIFIED = 0
    INVALID_NAME = 1
    INVALID_VALUE = 2
    ERROR = 3


@dataclass(frozen=True)
class Error(Message):
    package: ClassVar[str] = f"{FLIGHT}.SetSessionOptionsResult"
    value: int


@dataclass(frozen=True)
class SetSessionOptionsResult(Message):
    package: ClassVar[str] = FLIGHT
    errors: Mapping[str, Error] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class GetSessionOptionsRequest(Message):
    package: ClassVar[str] = FLIGHT


@dataclass(frozen=True)
class GetSessionOptionsResult(Message):
    package: ClassVar[str] = FLIGHT
    session_options: Mapping[str, SessionOptionValue] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class CloseSessionRequest(Message):
    package: ClassVar[str] = FLIGHT


class CloseStatus(IntEnum):
    """What came of the wish to close a session."""

    UNSPECIFIED = 0
    CLOSED = 1
    CLOSING = 2
    NOT_CLOSEABLE = 3


@dataclass(frozen=True)
class CloseSessionResult(Message):
    package: ClassVar[str] = FLIGHT
    status: int
