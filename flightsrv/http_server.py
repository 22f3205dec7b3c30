"""An HTTP server in a thread: uvicorn, which knows no limits of connections, with some."""

import asyncio
import logging
import socket
import threading
import time
import weakref
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from flightsrv.policy.connections import BEGIN_TIMEOUT_S, SLACK, ConnectionLimits, FewerRepeats, Use, excess

GRACE_S = 5.0
"""How long requests may take to end once they are cancelled."""

MAX_STALL_S = 180.0
"""How long a client may take nothing of an answer."""

for _name in ("asyncio", "uvicorn.error"):
    logging.getLogger(_name).addFilter(FewerRepeats())


class HttpServer:
    """Serves an app, from the moment it is made until `stop`.

    Attributes:
        url: where, with the port as the system gave it.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        limits: ConnectionLimits,
        drain_s: float,
        *,
        is_shared: bool = False,
    ) -> None:
        """`drain_s` is how long requests in flight may go on after the server was told to stop. Port 0 is a free one.
        With `is_shared`, other processes of this user may listen on the same port.

        Raises:
            OSError: the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=SLACK, reuse_port=is_shared)
        self._drain_s = drain_s
        config = uvicorn.Config(
            app,
            http=_protocol(limits),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            # As many are accepted before any of them can be closed.
            backlog=SLACK,
            timeout_graceful_shutdown=max(1, round(drain_s)),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)
        self._thread.start()
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}"

    def stop(self) -> bool:
        """Refuse new requests, let those in flight finish for a while, then cancel them.

        Returns:
            Whether all have ended. If not, the process cannot end by itself either.
        """
        self._server.should_exit = True
        self._thread.join(self._drain_s + GRACE_S)
        self._socket.close()
        return not self._thread.is_alive()


def _protocol(limits: ConnectionLimits) -> type[H11Protocol]:
    """What uvicorn makes of each connection of a server with these limits."""
    others: weakref.WeakSet[_LimitedProtocol] = weakref.WeakSet()

    class Protocol(_LimitedProtocol):
        connection_limits = limits
        all_connections = others

    return Protocol


class _LimitedProtocol(H11Protocol):
    """A connection that is closed when there are too many, or when a request takes too long to come."""

    connection_limits: ConnectionLimits
    all_connections: "weakref.WeakSet[_LimitedProtocol]"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.used_s = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    @property
    def host(self) -> str:
        """The address that it comes from."""
        return self.client[0] if self.client else ""

    @property
    def use(self) -> Use:
        """Whether there was a request, and whether it is being answered."""
        if not self.cycle:
            return Use.NONE
        return Use.BEFORE if self.cycle.response_complete else Use.NOW

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.all_connections.add(self)
        for connection in excess(self.all_connections, self.connection_limits):
            connection.close_now()
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._wait_for_request()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        self.all_connections.discard(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.used_s = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self._stall or self.loop.call_later(MAX_STALL_S, self.close_now)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def close_now(self) -> None:
        """Close it, whatever goes on."""
        self.all_connections.discard(self)
        self.transport.abort()

    def _wait_for_request(self) -> None:
        """From the first byte of a request, or the begin of the connection, to the last byte."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(BEGIN_TIMEOUT_S, self.close_now)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
