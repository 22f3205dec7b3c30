"""What an object store asks of the place where objects are kept: single requests, and three ways in which they fail."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from udtf.errors import CorruptData, StoreRefused


class ObjectMissing(CorruptData):
    """The metadata names an object that the store does not have."""


__all__ = ["Backend", "ObjectMissing", "StoreRefused", "TransientError"]


class TransientError(Exception):
    """A request failed in a way that passes: the store throttles, is overloaded, or the network is at fault.

    Whether the request was carried out is unknown. All requests may be sent twice.
    """


class Backend(Protocol):
    """Objects by key, one request for each call. Safe to use from many threads.

    An object is there whole or not at all. Every method raises StoreRefused, StoreFull and TransientError; their
    messages hold no path of a server.
    """

    is_local: bool
    """Whether a request costs the processor and a disk rather than a wait for the network."""

    def read(self, key: str) -> bytes:
        """All bytes of an object; raises ObjectMissing."""

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`, the last not included; raises ObjectMissing."""

    def read_tail(self, key: str, nb_bytes: int) -> bytes:
        """The last bytes of an object, all of a shorter one; raises ObjectMissing."""

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        """Make or replace an object. With `durable`, it has reached the disk on return."""

    def write_file(self, key: str, file: Path) -> None:
        """Make or replace an object with the content of a file of this machine, however large. It has reached the disk
        on return."""

    def delete(self, key: str) -> None:
        """Remove an object, or do nothing if there is none."""

    def written_at(self, prefix: str) -> Mapping[str, float]:
        """Keys below a folder, each with the time of its last change, in seconds since 1970."""
