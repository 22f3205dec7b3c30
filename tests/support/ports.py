"""Free ports, for what must be told its port before it listens."""

import socket
from contextlib import ExitStack


def free_ports(nb_ports: int) -> list[int]:
    """Different ones, of this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(nb_ports)]
        return [int(each.getsockname()[1]) for each in sockets]


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
