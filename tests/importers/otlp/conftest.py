"""A server that takes OTLP in every way, and requests to it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from flightsrv.client import QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, export_app, running_gateway
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server


@dataclass(frozen=True)
class Receiver:
    """A server, the page before it, and a port for OTLP/HTTP alone."""

    server: RunningServer
    gateway: RunningGateway
    exports: RunningGateway

    @property
    def grpc_ports(self) -> list[int]:
        assert self.server.otlp_port is not None
        return [self.server.port, self.server.otlp_port]

    @property
    def http_urls(self) -> list[str]:
        return [self.gateway.url, self.exports.url]


@pytest.fixture(scope="session")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Over a lake that starts empty; tests send as services of their own."""
    lake = str(tmp_path_factory.mktemp("otlp") / "lake")
    with (
        running_server(lake, settings=ServerSettings(otlp_port=0)) as server,
        running_gateway(server.url, GatewaySettings(port=0)) as gateway,
        running_gateway(server.url, GatewaySettings(port=0), export_app) as exports,
    ):
        yield Receiver(server, gateway, exports)


@pytest.fixture(scope="session")
def client(receiver: Receiver) -> Iterator[QueryClient]:
    with connect(receiver.server.url) as connected:
        yield connected
