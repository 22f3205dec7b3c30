"""Start and stop of a gateway: a socket, a connection to the server, and an HTTP server in a thread."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from flightsrv.client import InvalidRequest, QueryClient, Tls
from flightsrv.gateway.app import create_app
from flightsrv.gateway.guards import is_local
from flightsrv.gateway.perfetto_ui import PUBLIC_UI

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
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    perfetto_ui: str = PUBLIC_UI
    max_traces: int = 32
    drain_s: float = 5.0
    tls: Tls | None = None
    host_names: tuple[str, ...] = ()

    @property
    def expected_names(self) -> tuple[str, ...] | None:
        """As `create_app` takes them."""
        return self.host_names if self.host_names or is_local(self.host) else None


class RunningGateway:
    """A gateway that listens, from the moment it is made until `stop`."""

    def __init__(self, server_url: str, settings: GatewaySettings) -> None:
        """Raises InvalidRequest where the address cannot be listened on, or no bundled UI is installed."""
        self._client = QueryClient(server_url, settings.token, settings.tls)
        try:
            app = create_app(self._client, settings.perfetto_ui, settings.max_traces, settings.expected_names)
            self._socket = _listen(settings.host, settings.port)
        except InvalidRequest:
            self._client.close()
            raise
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="gateway", daemon=True)
        self._thread.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"

    def stop(self) -> None:
        """Refuse new requests, let those in flight finish for a while, then cancel them."""
        self._server.should_exit = True
        self._thread.join()
        self._client.close()
        self._socket.close()


@contextmanager
def running_gateway(server_url: str, settings: GatewaySettings) -> Iterator[RunningGateway]:
    """A gateway for the length of a `with` block; the log tells where."""
    gateway = RunningGateway(server_url, settings)
    log.info("page on %s", gateway.url)
    try:
        yield gateway
    finally:
        gateway.stop()


def serve(server_url: str, settings: GatewaySettings) -> None:
    """Run a gateway until SIGTERM or SIGINT. Call it from the main thread.

    Prints one line, `listening on http://host:port`, when browsers may come.

    Raises:
        InvalidRequest: as `RunningGateway` does.
    """
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    gateway = RunningGateway(server_url, settings)
    print(f"listening on {gateway.url}", flush=True)
    told_to_stop.wait()
    log.info("stopping: requests in flight may finish")
    gateway.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as e:
        raise InvalidRequest(f"cannot listen on {host}:{port}: {e.strerror}; the port may be taken") from e
