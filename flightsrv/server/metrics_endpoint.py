"""Metrics over HTTP, in the format that Prometheus reads."""

from prometheus_client import ProcessCollector, make_asgi_app

from flightsrv.http_server import HttpServer
from flightsrv.policy.connections import ConnectionLimits
from udtf.errors import InvalidArgument
from udtf.observability.metrics import Metrics

_LIMITS = ConnectionLimits(max_connections=64, max_per_peer=32)
_DRAIN_S = 1.0


class MetricsEndpoint:
    """Listens from the moment it is made until `close`. Tells of the process, too: its memory, files, CPU time."""

    def __init__(self, metrics: Metrics, host: str, port: int, *, is_shared: bool = False) -> None:
        """Port 0 is a free one, `is_shared` as of HttpServer. Raises InvalidArgument where the address cannot be
        listened on."""
        try:
            self._server = HttpServer(make_asgi_app(metrics.shown), host, port, _LIMITS, _DRAIN_S, is_shared=is_shared)
        except OSError as e:
            raise InvalidArgument(f"cannot serve metrics on {host}:{port}; the port may be taken") from e
        ProcessCollector(registry=metrics.registry)
        self.url = f"{self._server.url}/metrics"

    def close(self) -> None:
        """Stop listening."""
        self._server.stop()
