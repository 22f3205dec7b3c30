"""Connections to a gateway: how many there may be, and how long a request may take to come."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from flightsrv import http_server
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.policy.connections import ConnectionLimits
from tests.gateway.http import ask
from tests.support.http2 import is_open
from tests.support.waiting import wait_until

TIMEOUT_S = 60.0
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/perfetto/p/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    """One with few connections, before a server that is away."""
    settings = GatewaySettings(port=0, drain_s=1, connections=ConnectionLimits(40, 10))
    with running_gateway("grpc://127.0.0.1:1", settings) as running:
        yield running


def connected(stack: ExitStack, gateway: RunningGateway, said: bytes = b"") -> socket.socket:
    """A connection that has said so much."""
    port = int(gateway.url.rpartition(":")[2])
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    connection.sendall(said)
    return connection


@pytest.mark.parametrize("said", [b"", HEAD], ids=["silent", "in a head"])
def test_idle_connections_make_room_for_others(said: bytes, gateway: RunningGateway) -> None:
    """A request that is made on a new one is answered, however many there are."""
    with ExitStack() as stack:
        idle: list[socket.socket] = []
        for _ in range(10):
            idle += [connected(stack, gateway, said) for _ in range(30)]
            assert ask(f"{gateway.url}/health").status == 200
        wait_until(lambda: sum(map(is_open, idle)) <= 10)
        assert ask(f"{gateway.url}/health").status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"",
        HEAD[:10],
        HEAD,
        HEAD + b"X-A: 1\r\n" * 10,
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        HEAD + b"\r\n" + HEAD,
    ],
    ids=["nothing", "a part of a line", "a part of a head", "headers", "a part of a body", "a chunk", "a second one"],
)
def test_a_request_that_does_not_come_is_not_waited_for(
    said: bytes, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a byte comes now and then."""
    monkeypatch.setattr(http_server, "BEGIN_TIMEOUT_S", 0.3)
    with ExitStack() as stack:
        slow = connected(stack, gateway, said)
        end_s = time.monotonic() + TIMEOUT_S
        while is_open(slow):
            assert time.monotonic() < end_s
            try:
                slow.send(b"x")
            except OSError:
                break
            time.sleep(0.05)
