"""Ports that several processes listen on."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from udtf.errors import InvalidArgument


@contextmanager
def held_ports(host: str, ports: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Keep ports from others for the length of a `with` block. Processes of this user can listen on them that ask for a
    port that is shared (SO_REUSEPORT); each of them gets as many of the connections as any other.

    Args:
        ports: by name. 0 is a free one.

    Returns:
        The ports, with numbers for those that were 0.

    Raises:
        InvalidArgument: one of them is taken, or there is no such address.
    """
    with ExitStack() as sockets:
        yield {name: _hold(host, port, sockets) for name, port in ports.items()}


def _hold(host: str, port: int, sockets: ExitStack) -> int:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            if port:
                # Another server may share the port with its own processes, and would take calls from ours.
                with socket.socket(family, kind, protocol) as alone:
                    alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    alone.bind((address[0], port))
        for family, kind, protocol, _, address in addresses:
            held = sockets.enter_context(socket.socket(family, kind, protocol))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((address[0], port))
            port = held.getsockname()[1]
    except OSError as e:
        raise InvalidArgument(f"cannot listen on {host}:{port}: {e.strerror}; the port may be taken") from e
    return port
