"""Metrics over HTTP, in the format that Prometheus reads."""

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import ProcessCollector, start_http_server

from udtf.errors import InvalidArgument
from udtf.metrics import Metrics


class MetricsEndpoint:
    """Listens from the moment it is made until `close`. Tells of the process, too: its memory, files, CPU time."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Port 0 is a free one. Raises InvalidArgument where the address cannot be listened on."""
        try:
            self._server: WSGIServer
            self._thread: threading.Thread
            self._server, self._thread = start_http_server(port, host, metrics.registry)
        except OSError as e:
            raise InvalidArgument(f"cannot serve metrics on {host}:{port}; the port may be taken") from e
        ProcessCollector(registry=metrics.registry)
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
