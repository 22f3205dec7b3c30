"""What a server refuses for its own sake."""

from udtf.errors import UdtfError


class Draining(UdtfError):
    """The server is stopping and takes no new calls."""


class QueryTimedOut(UdtfError):
    """A query ran for longer than queries may."""
