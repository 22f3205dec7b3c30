"""What can go wrong for a caller of the client.

    FlightsrvError
    ├── InvalidRequest      the caller's mistake: a statement, an argument, a time, an address
    │   └── TooMuch             it asks for, or brings, more than the server has room for
    ├── NotFound            the server has no such thing
    ├── Unauthenticated     the server does not know the token
    │   └── PermissionDenied    it does, and does not let its owner do this
    ├── Unavailable         no server listens there, it stops, or it did not answer in time
    ├── Cancelled           the work was stopped, by the caller or by the server
    └── ServerFailed        the server could not do what was asked; not the caller's fault

Messages are those of the server, free of what the transport adds around them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import flight

from udtf.errors import UdtfError


class FlightsrvError(Exception):
    """Root of the errors that this package raises on purpose."""


class InvalidRequest(FlightsrvError):
    """What was asked has no meaning; it would fail in the same way again."""


class TooMuch(InvalidRequest):
    """More was asked for, or brought, than the server may take, or than it has room for."""


class NotFound(FlightsrvError):
    """The server has no such process, or stream, or table to ingest into."""


class Unauthenticated(FlightsrvError):
    """A token is missing, wrong, or does not allow this."""


class PermissionDenied(Unauthenticated):
    """The token does not allow this."""


class Unavailable(FlightsrvError):
    """The server cannot be reached; the same may succeed later."""


class Cancelled(FlightsrvError):
    """The work was stopped before its end."""


class ServerFailed(FlightsrvError):
    """The server met a problem of its own, or the connection broke half way."""


# The first match counts: more special classes stand first.
_TRANSLATIONS: tuple[tuple[type[Exception], type[FlightsrvError]], ...] = (
    (flight.FlightUnauthenticatedError, Unauthenticated),
    (flight.FlightUnauthorizedError, PermissionDenied),
    (flight.FlightCancelledError, Cancelled),
    (flight.FlightUnavailableError, Unavailable),
    (flight.FlightTimedOutError, Unavailable),
    (pa.ArrowCancelled, Cancelled),
    (pa.ArrowNotImplementedError, InvalidRequest),
    (pa.ArrowKeyError, NotFound),
    (pa.ArrowInvalid, InvalidRequest),
    (pa.ArrowTypeError, InvalidRequest),
)

_ALREADY_EXISTS = "Flight returned already exists error"
"""Of the status ALREADY_EXISTS, for which pyarrow has no class."""

_RESOURCE_EXHAUSTED = ("Flight returned resource exhausted error", "gRPC returned resource exhausted error")
"""Of the status RESOURCE_EXHAUSTED, which has that of INVALID_ARGUMENT."""

_TRANSPORT_PREFIX = re.compile(
    r"^(Unknown: )?(Flight|gRPC) (returned [\w -]+|cancelled call|RPC failed),? with message: "
    r"(failed to connect to all addresses; last error: .*?(?=Failed to connect))?"
)
_TRANSPORT_SUFFIX = re.compile(r"\.?\s*(Detail: |gRPC client debug context: |Client context: ).*", re.DOTALL)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Within it, what pyarrow raises becomes one of the errors above."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise _translate(error) from error


@contextmanager
def expecting_sense() -> Iterator[None]:
    """Within it, an answer is taken apart. Where that fails, it is the server's failure, whatever Python says."""
    try:
        yield
    except (UdtfError, ValueError, TypeError, RecursionError, pa.ArrowException) as error:
        raise ServerFailed(f"the answer of the server makes no sense: {error}") from error


def _translate(error: Exception) -> FlightsrvError:
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    ours = next((ours for theirs, ours in _TRANSLATIONS if isinstance(error, theirs)), ServerFailed)
    if text.removeprefix("Unknown: ").startswith(_ALREADY_EXISTS):
        ours = InvalidRequest
    if text.startswith(_RESOURCE_EXHAUSTED):
        ours = TooMuch
    message = _TRANSPORT_SUFFIX.sub("", _TRANSPORT_PREFIX.sub("", text)).strip()
    if message == "CANCELLED":
        message = "the call was cancelled, or this client neither read nor sent for too long"
    return ours(message or f"the server gave no reason ({type(error).__name__})")
