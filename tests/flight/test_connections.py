"""Connections: how many there may be, from whom, and how long they may say nothing. Others never notice."""

import logging
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.flight.transports.connections import Peer, peer_of
from flightsrv.policy.connections import ConnectionLimits, FewerRepeats, Use, excess
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.server.raw import RawClient, raw_client
from tests.support import http2
from tests.support.waiting import wait_until

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Made:
    host: str
    use: Use
    used_s: float


@given(
    st.lists(st.builds(Made, st.sampled_from("abc"), st.sampled_from(Use), st.integers(0, 99)), max_size=40),
    st.builds(ConnectionLimits, st.integers(1, 20), st.integers(1, 10)),
)
def test_what_is_left_is_within_limits(connections: list[Made], limits: ConnectionLimits) -> None:
    """And as many as may be: nothing is closed without need, nor while one of less use of the same address stays."""
    closed = excess(connections, limits)
    left = list((Counter(connections) - Counter(closed)).elements())
    allowed = sum(min(n, limits.max_per_peer) for n in Counter(each.host for each in connections).values())
    assert len(left) == min(allowed, limits.max_connections)
    for host in "abc":
        stay = [each for each in left if each.host == host]
        go = [each for each in closed if each.host == host]
        assert len(stay) <= limits.max_per_peer
        assert max([each.use for each in go], default=Use.NONE) <= min([each.use for each in stay], default=Use.NOW)
        for use in (Use.NONE, Use.BEFORE):
            last_s = [each.used_s for each in go if each.use == use]
            assert max(last_s, default=0) <= min([each.used_s for each in stay if each.use == use], default=99)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("ipv4:127.0.0.1:57556", Peer("127.0.0.1", 57556)),
        ("ipv6:%5B::1%5D:80", Peer("::1", 80)),
        ("ipv6:[2001:db8::7]:80", Peer("2001:db8::7", 80)),
        ("ipv6:%5B::ffff:10.0.0.1%5D:80", Peer("10.0.0.1", 80)),
        ("unix:", Peer("unix:", 0)),
    ],
)
def test_peers_are_known_by_the_names_of_grpc(name: str, peer: Peer) -> None:
    """As the system knows them."""
    assert peer_of(name) == peer


@contextmanager
def limited_server(folder: Path, limits: ConnectionLimits) -> Iterator[RunningServer]:
    with running_server(str(folder / "lake"), settings=ServerSettings(connections=limits)) as running:
        yield running


def connected(stack: ExitStack, server: RunningServer, said: bytes = b"") -> socket.socket:
    """A connection that has said so much."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
    connection.sendall(said)
    return connection


def answers(client: RawClient) -> bool:
    return len(client.call("ListActions", b"")) > 1


@pytest.mark.parametrize("said", [b"", http2.GREETING], ids=["silent", "greeted"])
def test_idle_connections_make_room_for_others(said: bytes, tmp_path: Path) -> None:
    """Those of one address, which all have here; a client that calls keeps its own, and a new one finds room."""
    with limited_server(tmp_path, ConnectionLimits(40, 10)) as server, ExitStack() as stack:
        used = stack.enter_context(raw_client(server.url))
        assert answers(used)
        idle: list[socket.socket] = []
        for _ in range(8):
            idle += [connected(stack, server, said) for _ in range(10)]
            assert answers(used)
        wait_until(lambda: sum(map(http2.is_open, idle)) <= 10)
        assert answers(used)
        assert answers(stack.enter_context(raw_client(server.url)))


def test_beyond_all_bounds_nothing_is_accepted(tmp_path: Path) -> None:
    """So that files are left for what the server does; it answers those that it knows meanwhile."""
    with limited_server(tmp_path, ConnectionLimits(10, 10)) as server, ExitStack() as stack:
        used = stack.enter_context(raw_client(server.url))
        assert answers(used)
        idle = [connected(stack, server, http2.GREETING) for _ in range(300)]
        assert answers(used)
        wait_until(lambda: sum(map(http2.is_open, idle)) <= 10)
        assert answers(used)


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed(tmp_path: Path) -> None:
    """Or begin to greet and stop, or greet and never call."""
    said = [b"", http2.PREFACE[:10], http2.PREFACE, b"GET / HTTP/1.1\r\n", http2.GREETING]
    with limited_server(tmp_path, ConnectionLimits(max_idle_s=1.0)) as server, ExitStack() as stack:
        idle = [connected(stack, server, each) for each in said]
        wait_until(lambda: not any(map(http2.is_open, idle)))


def test_a_connection_that_leaves_its_calls_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As those do that only want the server to begin them. Calls of others end as they should."""
    path = "/arrow.flight.protocol.FlightService/ListActions"
    with limited_server(tmp_path, ConnectionLimits()) as server, ExitStack() as stack:
        other = stack.enter_context(raw_client(server.url))
        assert answers(other)
        hostile = connected(stack, server, http2.GREETING)
        stream = 1
        while http2.is_open(hostile):
            assert stream < 100_000
            try:
                hostile.setblocking(True)
                hostile.sendall(http2.calls_left_at_once(stream, 50, path))
            except OSError:
                break
            stream += 100
            assert answers(other)
        assert answers(other)
    # gRPC closes one as well that leaves very many.
    assert len([line for line in caplog.messages if "its connection is closed" in line]) <= 1


def test_a_limit_that_the_system_does_not_give_is_told(tmp_path: Path) -> None:
    """The limits shrink; some files are kept for the server's own work."""
    program = """
import logging, resource
from flightsrv.policy.connections import ConnectionLimits, fitting
logging.basicConfig(format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1000))
print(fitting(ConnectionLimits(100), 1).max_connections, resource.getrlimit(resource.RLIMIT_NOFILE))
print(fitting(ConnectionLimits(1024), 2).max_connections, resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["100 (420, 1000)", "308 (1000, 1000)"]
    assert done.stderr == "a port has at most 308 connections, not 1024: the system lets this process open 1000 files\n"


def test_what_callers_can_cause_is_not_logged_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """A few lines a second of each message; others pass."""
    logger = logging.Logger("test")
    logger.addHandler(caplog.handler)
    logger.addFilter(FewerRepeats(most_per_second=3))
    begin_s = time.monotonic()
    for number in range(10_000):
        logger.warning("no room for %d", number)
    seconds = int(time.monotonic()) - int(begin_s) + 1
    logger.warning("something else")
    assert len(caplog.messages) <= 3 * seconds + 1
    assert caplog.messages[-1] == "something else"
