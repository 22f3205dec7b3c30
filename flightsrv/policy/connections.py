"""How many connections a port has at once, and from which addresses; which are closed first."""

import logging
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol, TypeVar

log = logging.getLogger(__name__)

BEGIN_TIMEOUT_S = 10.0
"""How long a new connection may take to say what it wants: to greet, or to send the whole of a request."""

SLACK = 64
"""Connections that a port may accept before the first of them can be closed."""

RESERVED_FILES = 256
"""Descriptors for all that is no connection of a caller: files, workers, databases, stores."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of the connections to one port.

    Attributes:
        max_connections: most of them.
        max_per_peer: most from one address. Behind a proxy, all callers have the same.
        max_idle_s: how long one may be without a call.
    """

    max_connections: int = 1024
    max_per_peer: int = 512
    max_idle_s: float = 300.0


class Use(IntEnum):
    """What a connection has been good for: nothing so far, calls that have ended, calls that go on."""

    NONE = 0
    BEFORE = 1
    NOW = 2


class Connection(Protocol):
    """A connection of a caller.

    Attributes:
        host: the address that it comes from.
        use: what it has been good for.
        used_s: when that was for the last time, or when it was made, on the monotonic clock.
    """

    @property
    def host(self) -> str: ...
    @property
    def use(self) -> Use: ...
    @property
    def used_s(self) -> float: ...


C = TypeVar("C", bound=Connection)


def excess(connections: Iterable[C], limits: ConnectionLimits) -> list[C]:
    """Those to be closed so that the others are within the limits.

    First those that nothing was called on, then those that have been idle, each for longest: their callers make new
    ones when they need them, and a new caller finds room whatever others hold on to. Those in use go, the newest first,
    only where there are too many of them alone. Beyond the limit of all, those of the address that has most go first.
    """
    everything = list(connections)
    if len(everything) <= min(limits.max_per_peer, limits.max_connections):
        return []
    # The last one of an address is the first to go.
    by_host: dict[str, list[C]] = {}
    for connection in everything:
        by_host.setdefault(connection.host, []).append(connection)
    for those in by_host.values():
        those.sort(key=lambda each: (-each.use, each.used_s if each.use == Use.NOW else -each.used_s))
    closed = [each for those in by_host.values() for each in those[limits.max_per_peer :]]
    left = {host: those[: limits.max_per_peer] for host, those in by_host.items()}
    for _ in range(sum(map(len, left.values())) - limits.max_connections):
        closed.append(max(left.values(), key=len).pop())
    return closed


def fitting(limits: ConnectionLimits, nb_ports: int) -> ConnectionLimits:
    """The limits of each of so many ports, or less where the process may not open as many files: some are reserved. The
    limit of the process is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = RESERVED_FILES + nb_ports * (limits.max_connections + SLACK)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    fitting = max(1, (most - RESERVED_FILES) // nb_ports - SLACK)
    if fitting >= limits.max_connections:
        return limits
    log.warning(
        "a port has at most %d connections, not %d: the system lets this process open %d files",
        *(fitting, limits.max_connections, hard),
    )
    return replace(limits, max_connections=fitting)


class FewerRepeats(logging.Filter):
    """Lets a message of the log pass so often a second, whatever its arguments: callers can cause them without end."""

    def __init__(self, most_per_second: int = 5) -> None:
        super().__init__()
        self._most_per_second = most_per_second
        self._second = 0
        self._passed: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is let through."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._passed.clear()
        self._passed[str(record.msg)] += 1
        return self._passed[str(record.msg)] <= self._most_per_second
