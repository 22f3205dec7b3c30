"""Sends uploads to a server by HTTP, with one connection for each request.

A connection of two seconds' telemetry costs a fraction of a millisecond, and none is open while the program forks,
closes all of its descriptors, or becomes a daemon. `http.client` would do the same, and bring six megabytes into the
traced program, mostly of `ssl`; here that is loaded for `https` alone.
"""

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from flightsrv import __version__
from flightsrv.tracing.descriptors import closing, descriptor_of
from flightsrv.tracing.sinks import RefusedError

if TYPE_CHECKING:
    import ssl

PATH = "/api/uploads"
TIMEOUT_S = 60.0
"""A server that has not answered by then is taken to be away; the same comes again."""
MAX_ANSWER_BYTES = 64 << 10

PORTS = {"http": 80, "https": 443}
REFUSALS = (400, 413, 422)
"""Statuses of a server that does not want these bytes; all others may pass."""

FORK_PATIENCE_S = 0.05
"""How long a fork waits for a name to be looked up. The C library holds locks meanwhile, which stay locked for ever in
the child; so an address is looked up once, and again only after it could not be reached."""

_resolving = threading.Lock()

_Address: TypeAlias = tuple[int, Any]
"""Family of addresses, and one of them."""


class SendError(Exception):
    """The server answered with something else than success."""


class Receiver:
    """A server that takes uploads: an address, and credentials for it.

    Raises:
        ValueError: `url` is none of `http://` or `https://`, or the token does not fit into a header.
    """

    def __init__(self, url: str, token: str | None = None, ca_file: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"url {url!r}: {error}") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"url {url!r}: expected http://HOST:PORT or https://HOST:PORT, the server's HTTP port")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("token: expected printable ASCII characters")
        self.url = url
        self.host = parts.hostname
        self.port = port or PORTS[parts.scheme]
        self.tls = _tls(ca_file) if parts.scheme == "https" else None
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        # Of HTTP/1.0, so that the answer ends with the connection.
        self._head = (
            f"POST {parts.path.rstrip('/')}{PATH} HTTP/1.0\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            f"User-Agent: flightsrv/{__version__}\r\nContent-Type: application/octet-stream\r\n"
            f"Connection: close\r\n{authorization}Content-Length: "
        )

    def request(self, uploads: bytes) -> bytes:
        """The bytes of a request."""
        return b"%s%d\r\n\r\n%s" % (self._head.encode("utf-8", "replace"), len(uploads), uploads)


def _tls(ca_file: str | None) -> "ssl.SSLContext":
    import ssl

    return ssl.create_default_context(cafile=ca_file)


class HttpSink:
    """Sends to a receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._address: _Address | None = None

    def send(self, uploads: bytes) -> None:
        with closing(self._connect()) as connection:
            # The answer may have come before the server has read everything.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(self._receiver.request(uploads))
            answer = _read_all(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        words = head.partition(b"\r\n")[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise SendError(f"{self._receiver.url} does not speak HTTP: {answer[:80]!r}")
        status = int(words[1])
        if 200 <= status < 300:
            return
        message = f"status {status} of {self._receiver.url}: {_message(body)}"
        raise RefusedError(message) if status in REFUSALS else SendError(message)

    def close(self) -> None:
        pass

    def _connect(self) -> socket.socket:
        addresses = [self._address] if self._address else self._resolve()
        self._address = None
        failure: OSError | None = None
        for family, address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            descriptor = descriptor_of(connection)
            try:
                connection.settimeout(TIMEOUT_S)
                connection.connect(address)
                if self._receiver.tls is not None:
                    connection = self._receiver.tls.wrap_socket(connection, server_hostname=self._receiver.host)
            except OSError as error:
                connection.detach()
                descriptor.close()
                failure = error
            else:
                self._address = (family, address)
                return connection
        raise failure or OSError(f"{self._receiver.host} has no address")

    def _resolve(self) -> list[_Address]:
        # As bytes: a text would be encoded by a codec that is imported first.
        with _resolving:
            found = socket.getaddrinfo(self._receiver.host.encode(), self._receiver.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]


def _read_all(connection: socket.socket) -> bytes:
    answer = b""
    while len(answer) < MAX_ANSWER_BYTES:
        more = connection.recv(MAX_ANSWER_BYTES)
        if not more:
            break
        answer += more
    return answer


def _message(body: bytes) -> str:
    """What the server says in an answer that is no success."""
    import json

    try:
        return str(json.loads(body)["message"])
    except Exception:
        return body[:200].decode("utf-8", "replace") or "no reason given"


def _before_fork() -> None:
    _Fork.is_held = _resolving.acquire(timeout=FORK_PATIENCE_S)


def _after_fork_in_parent() -> None:
    if _Fork.is_held:
        _resolving.release()


def _after_fork_in_child() -> None:
    global _resolving
    _resolving = threading.Lock()


class _Fork:
    is_held = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
