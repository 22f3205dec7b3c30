"""Servers that take what programs record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.server.lifecycle import running_server


class TracingServer(NamedTuple):
    """A server, and its HTTP port."""

    url: str
    http_url: str

    @property
    def http_port(self) -> int:
        return int(self.http_url.rpartition(":")[2])


@contextmanager
def tracing_server(lake: str, http_port: int = 0) -> Iterator[TracingServer]:
    """A server over a lake; port 0 is a free one."""
    with running_server(lake) as server, running_gateway(server.url, GatewaySettings(port=http_port)) as gateway:
        yield TracingServer(server.url, gateway.url)
