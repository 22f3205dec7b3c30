"""Start and stop of a gateway: a socket, a connection to the server, and an HTTP server in a thread."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from flightsrv.client import InvalidRequest, QueryClient, Tls
from flightsrv.gateway.app import create_app, create_export_app
from flightsrv.gateway.metrics import GatewayMetrics
from flightsrv.gateway.perfetto_ui import PUBLIC_UI
from flightsrv.http_server import HttpServer
from flightsrv.policy.auth.settings import is_loopback
from flightsrv.policy.connections import ConnectionLimits
from flightsrv.stop_signals import StopSignals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GatewaySettings:
    """How a gateway runs.

    Attributes:
        host, port: where it listens; port 0 is a free one.
        token: bearer token for the server.
        tls: which servers to believe in, where the connection to the server is encrypted.
        perfetto_ui: address of the Perfetto UI, or `bundled`.
        max_traces: most traces that are made at once; more are refused for the moment.
        drain_s: seconds that requests in flight may go on after the gateway was told to stop.
        host_names: names by which browsers may call the gateway. Where there are none, any will do, unless it listens
            for this machine alone: then it goes by addresses and `localhost`.
        connections: limits of the connections to the port.
        is_shared: whether other processes listen on the same port.
        shown_metrics: as GatewayMetrics takes it.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    perfetto_ui: str = PUBLIC_UI
    max_traces: int = 32
    drain_s: float = 5.0
    tls: Tls | None = None
    host_names: tuple[str, ...] = ()
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    is_shared: bool = False
    shown_metrics: Callable[[CollectorRegistry], CollectorRegistry] = lambda registry: registry

    @property
    def expected_names(self) -> tuple[str, ...] | None:
        """As `create_app` takes them."""
        return self.host_names if self.host_names or is_loopback(self.host) else None


AppFactory = Callable[[QueryClient, GatewaySettings], ASGIApp]


def page_app(client: QueryClient, settings: GatewaySettings) -> ASGIApp:
    """The page and the API under it. Raises InvalidRequest if no bundled UI is installed that is asked for."""
    metrics = GatewayMetrics(settings.shown_metrics)
    return create_app(client, settings.perfetto_ui, settings.max_traces, settings.expected_names, metrics)


def export_app(client: QueryClient, settings: GatewaySettings) -> ASGIApp:
    """OTLP/HTTP alone."""
    return create_export_app(client, settings.expected_names)


class RunningGateway:
    """A gateway that listens, from the moment it is made until `stop`."""

    def __init__(self, server_url: str, settings: GatewaySettings, make_app: AppFactory = page_app) -> None:
        """Raises InvalidRequest where the address cannot be listened on, or as `make_app` does."""
        self._client = QueryClient(server_url, settings.token, settings.tls)
        try:
            app = make_app(self._client, settings)
            self._server = HttpServer(
                app,
                settings.host,
                settings.port,
                settings.connections,
                settings.drain_s,
                is_shared=settings.is_shared,
            )
        except InvalidRequest:
            self._client.close()
            raise
        except OSError as e:
            self._client.close()
            raise InvalidRequest(
                f"cannot listen on {settings.host}:{settings.port}: {e.strerror}; the port may be taken"
            ) from e
        self.url = self._server.url

    def stop(self) -> bool:
        """As `HttpServer.stop`; what still waits for the server then is cancelled."""
        is_stopped = self._server.stop()
        self._client.close()
        return is_stopped or self._server.stop()


@contextmanager
def running_gateway(
    server_url: str, settings: GatewaySettings, make_app: AppFactory = page_app
) -> Iterator[RunningGateway]:
    """A gateway for the length of a `with` block; the log tells where."""
    gateway = RunningGateway(server_url, settings, make_app)
    log.info("%s on %s", "page" if make_app is page_app else "OTLP/HTTP", gateway.url)
    try:
        yield gateway
    finally:
        if not gateway.stop():
            log.error("requests to %s did not end", gateway.url)


def serve(server_url: str, settings: GatewaySettings) -> None:
    """Run a gateway until SIGTERM or SIGINT. Call it from the main thread.

    Prints one line, `listening on http://host:port`, when browsers may come.

    Raises:
        InvalidRequest: as `RunningGateway` does.
    """
    signals = StopSignals()
    gateway = RunningGateway(server_url, settings)
    print(f"listening on {gateway.url}", flush=True)
    signals.wait()
    log.info("stopping: requests in flight may finish")
    if not gateway.stop():
        # A request that waits for a server which does not answer would keep the process.
        log.error("requests in flight did not end; leaving without them")
        os._exit(1)
