"""What a server needs of a transport, and which there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from flightsrv.flight.call import Call
from flightsrv.flight.calls import Calls
from flightsrv.flight.service import FlightService
from flightsrv.policy.auth.settings import Tls
from flightsrv.policy.connections import ConnectionLimits
from flightsrv.policy.limits import CallLimits

TransportName = Literal["grpc", "pyarrow"]


@dataclass(frozen=True)
class Address:
    """Where to listen. Port 0 is a free one."""

    host: str
    port: int

    @property
    def host_in_url(self) -> str:
        """An address of IPv6 is in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True)
class TransportSettings:
    """How to listen; a transport follows the limits as far as its library lets it.

    Attributes:
        is_shared: whether other processes listen at the same address.
        private_socket: a Unix socket to listen at as well, without encryption.
    """

    address: Address
    tls: Tls | None
    calls: CallLimits
    connections: ConnectionLimits
    is_shared: bool = False
    private_socket: Path | None = None


class Exporter(Protocol):
    """What stores telemetry that comes by OTLP."""

    services: Mapping[str, str]
    """The signals, by the names of their services of gRPC."""
    max_bytes: int
    """Of a request."""

    def export(self, call: Call, signal: str, request: bytes) -> bytes:
        """Store what a request of a signal has, and answer it. Raises UdtfError, which is a status for the client."""


class Transport(Protocol):
    """Listens from the moment it is made until `stop`."""

    port: int

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those under way after a while at the latest."""


def _grpcio(service: FlightService, calls: Calls, settings: TransportSettings, exporter: Exporter) -> Transport:
    from flightsrv.flight.transports.grpcio import GrpcTransport

    return GrpcTransport(calls, settings, service, exporter)


def _pyarrow(service: FlightService, calls: Calls, settings: TransportSettings, _: Exporter) -> Transport:
    from flightsrv.flight.transports.pyarrow_flight import PyarrowTransport

    return PyarrowTransport(service, calls, settings)


TRANSPORTS: Mapping[TransportName, Callable[[FlightService, Calls, TransportSettings, Exporter], Transport]] = {
    "grpc": _grpcio,
    "pyarrow": _pyarrow,
}
"""Transports of Flight; that of grpcio takes OTLP as well. They raise InvalidArgument where the address cannot be
listened on."""


def exports_only(calls: Calls, settings: TransportSettings, exporter: Exporter) -> Transport:
    """A transport of OTLP alone. Raises InvalidArgument where the address cannot be listened on."""
    from flightsrv.flight.transports.grpcio import GrpcTransport

    return GrpcTransport(calls, settings, None, exporter)
