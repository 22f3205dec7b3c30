"""Where telemetry goes: anything that takes uploads (`uploads.py`)."""

from collections.abc import Callable
from typing import Protocol, TypeAlias


class RefusedError(Exception):
    """The receiver has looked at what was sent and will not take it; sending the same again is of no use."""


class Sink(Protocol):
    """Takes telemetry. The sender's thread alone calls it, one call at a time."""

    def send(self, uploads: bytes) -> None:
        """Hand over one or more uploads, one after the other; return when they are stored.

        Raises:
            RefusedError: something is wrong with them; nothing was stored.
            Exception: anything else may pass, and they come again.
        """

    def close(self) -> None:
        """Let go of connections and files."""


SinkFactory: TypeAlias = Callable[[], Sink]
"""Makes the sink of a process, in the thread that sends: one that is forked makes its own."""
