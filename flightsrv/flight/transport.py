"""gRPC under the service: address, encryption, threads, and how large and how often messages may be."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from flightsrv.policy.auth.settings import Tls
from flightsrv.policy.connections import BEGIN_TIMEOUT_S, SLACK, ConnectionLimits
from flightsrv.policy.limits import MAX_MESSAGE_BYTES
from udtf.errors import InvalidArgument

MAX_CALLS_OF_CONNECTION = 128

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Batches are sliced, but for a row that is larger than a slice.
    ("grpc.max_send_message_length", -1),
    # Or else the system lets a second server listen on the same port, and each gets a part of the calls.
    ("grpc.so_reuseport", 0),
    # Clients may ask in a long silence whether the server is there. By default, gRPC breaks the connection of one that
    # does so more often than every five minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server asks as well, so that the work for a client whose machine is gone ends. It waits for the answer, and
    # for anything at all: both times count.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 30_000),
    # A connection that says nothing, or no HTTP/2, is closed.
    ("grpc.server_handshake_timeout_ms", round(BEGIN_TIMEOUT_S * 1e3)),
    ("grpc.http2.settings_timeout", round(BEGIN_TIMEOUT_S * 1e3)),
    # Calls of one connection beyond these wait at the client.
    ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
)

REFUSING_THREADS = 8
"""For calls beyond those that are answered: they must be told so."""


class Transport:
    """A gRPC server that listens, from the moment it is made until `stop`.

    Attributes:
        address: host and port, the latter as the system gave it.
    """

    def __init__(
        self,
        handler: grpc.GenericRpcHandler,
        host: str,
        port: int,
        tls: Tls | None,
        max_calls: int,
        connections: ConnectionLimits,
    ) -> None:
        """Raises InvalidArgument where the address cannot be listened on."""
        self._threads = ThreadPoolExecutor(max_calls + REFUSING_THREADS, thread_name_prefix="rpc")
        # Calls beyond the first number wait for a moment to be refused by the service. Those beyond the second, gRPC
        # refuses without a thread.
        self._server = grpc.server(
            self._threads,
            handlers=[handler],
            options=[
                *OPTIONS,
                ("grpc.max_connection_idle_ms", round(connections.max_idle_s * 1e3)),
                # Those beyond the limit, there is a choice which of them to close (`connections`).
                ("grpc.max_allowed_incoming_connections", connections.max_connections + SLACK),
            ],
            maximum_concurrent_rpcs=2 * max_calls + REFUSING_THREADS,
        )
        name = f"[{host}]" if ":" in host else host
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(f"{name}:{port}")
            else:
                self.port = self._server.add_secure_port(f"{name}:{port}", _credentials(tls))
        except RuntimeError as e:
            raise InvalidArgument(f"cannot listen on {name}:{port}; the port may be taken") from e
        self.address = f"{name}:{self.port}"
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those under way after a while at the latest."""
        self._server.stop(grace_s).wait()
        self._threads.shutdown()


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)], tls.client_ca, require_client_auth=tls.client_ca is not None
    )
