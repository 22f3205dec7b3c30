"""Connections to the port of the Flight service.

gRPC closes those that do not greet, and those that are idle; beyond a number it closes whatever comes. It does not look
where they come from, nor which of them others could do without; so the watch finds them among the open files of the
process, and closes some. For gRPC that is as if the client had left.
"""

import contextlib
import ipaddress
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from flightsrv.policy.connections import ConnectionLimits, Use, excess

LOOK_SECONDS = 0.5
"""More often, those that are closed come back more often, and cost more than they did by staying."""

MAX_LEFT_CALLS = 100
"""Calls that a client may make and leave on one connection from one look to the next."""

log = logging.getLogger(__name__)


class Peer(NamedTuple):
    """The other end of a connection."""

    host: str
    port: int


@dataclass
class _Connection:
    peer: Peer
    descriptor: int
    used_s: float
    use: Use = Use.NONE

    @property
    def host(self) -> str:
        return self.peer.host


class ConnectionWatch:
    """Keeps the connections to a port within limits, from `start` to `close`. Safe to use from many threads."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._port = 0
        self._limits = limits
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._calls: Counter[Peer] = Counter()
        self._used_s: dict[Peer, float] = {}
        self._left: Counter[Peer] = Counter()
        self._known: dict[tuple[int, str], _Connection | None] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connection watch", daemon=True)

    def start(self, port: int) -> None:
        """Begin to watch this port."""
        self._port = port
        self._thread.start()

    @contextmanager
    def used(self, name: str) -> Iterator[None]:
        """For the length of a `with` block, a call is under way on the connection of a peer, as gRPC names it."""
        peer = peer_of(name)
        with self._lock:
            self._calls[peer] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used_s[peer] = time.monotonic()
                self._calls[peer] -= 1
                if not self._calls[peer]:
                    del self._calls[peer]

    def left(self, name: str) -> None:
        """Note a call whose client left before its end. A connection that brings many of them is closed."""
        peer = peer_of(name)
        with self._lock:
            self._left[peer] += 1
            is_too_much = self._left[peer] == MAX_LEFT_CALLS
        if is_too_much:
            log.warning("%s makes calls and leaves them; its connection is closed", name)
            for connection in self._connections():
                if connection.peer == peer:
                    _shut_down(connection, self._port)

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._lock:
                self._left.clear()
            connections = self._connections()
            closed = excess(connections, self._limits)
            for connection in closed:
                _shut_down(connection, self._port)
            if closed:
                log.warning("%d of %d connections are closed: more than there may be", len(closed), len(connections))

    def _connections(self) -> list[_Connection]:
        """Those that there are, and when each was used last."""
        with self._looking:
            self._look()
            connections = [each for each in self._known.values() if each is not None]
        with self._lock:
            for connection in connections:
                if connection.peer in self._calls:
                    connection.use = Use.NOW
                elif connection.peer in self._used_s:
                    connection.use, connection.used_s = Use.BEFORE, self._used_s[connection.peer]
            there = {connection.peer for connection in connections}
            for peer in self._used_s.keys() - there - self._calls.keys():
                del self._used_s[peer]
            return connections

    def _look(self) -> None:
        """See which files are open; a socket is known by its number and the name that the system gives it."""
        known: dict[tuple[int, str], _Connection | None] = {}
        for entry in os.listdir("/proc/self/fd"):
            descriptor = int(entry)
            with contextlib.suppress(OSError):
                file = (descriptor, os.readlink(f"/proc/self/fd/{descriptor}"))
                known[file] = self._known[file] if file in self._known else self._connection_of(*file)
        self._known = known

    def _connection_of(self, descriptor: int, name: str) -> _Connection | None:
        if not name.startswith("socket:"):
            return None
        peer = _peer_at(descriptor, self._port)
        return None if peer is None else _Connection(peer, descriptor, time.monotonic())


def peer_of(name: str) -> Peer:
    """The peer that gRPC names so: `ipv4:127.0.0.1:1234`, `ipv6:%5B::1%5D:1234`."""
    host, _, port = unquote(name).partition(":")[2].rpartition(":")
    return Peer(_plain_host(host.strip("[]")), int(port)) if port.isdecimal() else Peer(name, 0)


def _plain_host(host: str) -> str:
    """An address in one way of writing, also where one of IPv4 is written as one of IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@contextmanager
def _socket_at(descriptor: int) -> Iterator[socket.socket]:
    """The socket of a descriptor, by one of its own: whatever becomes of the other, this one stays the same."""
    own = os.dup(descriptor)
    try:
        found = socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise
    with found:
        yield found


def _peer_at(descriptor: int, port: int) -> Peer | None:
    """The other end of what is a connection to a port."""
    try:
        with _socket_at(descriptor) as found:
            if found.family not in (socket.AF_INET, socket.AF_INET6) or found.getsockname()[1] != port:
                return None
            host, peer_port, *_ = found.getpeername()
            return Peer(_plain_host(host), peer_port)
    except OSError:
        return None


def _shut_down(connection: _Connection, port: int) -> None:
    """End a connection, if the descriptor is still that of it."""
    with contextlib.suppress(OSError), _socket_at(connection.descriptor) as found:
        if _peer_at(found.fileno(), port) == connection.peer:
            found.shutdown(socket.SHUT_RDWR)
