"""What a client sees of a failure: a Flight status code and a short message for a user, nothing else.

QueryCancelled                      CANCELLED
QueryTimedOut                       DEADLINE_EXCEEDED
Unauthenticated                     UNAUTHENTICATED
PermissionDenied                    PERMISSION_DENIED
UnsupportedMessage, NotOffered      UNIMPLEMENTED
NotFound                            NOT_FOUND
other InvalidArgument               INVALID_ARGUMENT
Draining, Overloaded,
StoreUnavailable                    UNAVAILABLE
other UdtfError                     INTERNAL, with the error's own message and a query id
anything else                       INTERNAL, with a query id; the story is in the log under that id
"""

import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import flight

from flightsrv.server.auth.authentication import Unauthenticated
from flightsrv.wire.codec import UnsupportedMessage
from udtf.errors import InvalidArgument, NotFound, Overloaded, PermissionDenied, StoreUnavailable, UdtfError
from udtf.sql.engine import QueryCancelled

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 2048
"""Percent-encoded, as gRPC sends it. It is sent more than once, and clients drop answers with more than 8 KiB of
trailers."""


class NotOffered(UdtfError):
    """The protocol knows it, this server does not do it."""


class Draining(UdtfError):
    """The server is stopping and takes no new calls."""


class QueryTimedOut(UdtfError):
    """A query ran for longer than queries may."""


def to_flight_error(error: BaseException, query_id: str) -> Exception:
    """The exception to raise into Flight for `error`; what is not for the client is logged under `query_id`."""
    match error:
        case QueryCancelled():
            return flight.FlightCancelledError(client_message(error))  # type: ignore[no-any-return]
        case UnsupportedMessage() | NotOffered():
            return pa.ArrowNotImplementedError(client_message(error))  # type: ignore[no-any-return]
        case NotFound():
            return pa.ArrowKeyError(client_message(error))  # type: ignore[no-any-return]
        case InvalidArgument():
            return pa.ArrowInvalid(client_message(error))  # type: ignore[no-any-return]
        case StoreUnavailable():
            log.warning("query %s: %s: %r", query_id, error, error.__cause__)
            return flight.FlightUnavailableError(client_message(error))  # type: ignore[no-any-return]
        case QueryTimedOut():
            return flight.FlightTimedOutError(client_message(error))  # type: ignore[no-any-return]
        case Unauthenticated():
            return flight.FlightUnauthenticatedError(client_message(error))  # type: ignore[no-any-return]
        case PermissionDenied():
            return flight.FlightUnauthorizedError(client_message(error))  # type: ignore[no-any-return]
        case Draining() | Overloaded():
            return flight.FlightUnavailableError(client_message(error))  # type: ignore[no-any-return]
    log.error("query %s failed", query_id, exc_info=error)
    message = client_message(error) if isinstance(error, UdtfError) else "internal error"
    return flight.FlightInternalError(f"{message}, query id {query_id}")  # type: ignore[no-any-return]


def client_message(error: BaseException) -> str:
    """The error's message, cut to what fits into the trailers of a call."""
    text = str(error).encode(errors="replace").decode()
    while len(quote(text)) > MAX_MESSAGE_BYTES:
        text = text[: len(text) * 3 // 4] + "…"
    return text


def hide_tracebacks_from_clients() -> None:
    """Keep tracebacks, and the paths in them, out of what Arrow sends to clients.

    For every Python exception that reaches it, Arrow's C++ calls `traceback.format_exception` to fill the detail of the
    status. Such a call has no Python caller, which tells it from all others; it gets the name of the exception only.
    Logging and everything else in the process formats as before.
    """
    format_exception = traceback.format_exception
    if getattr(format_exception, "hides_tracebacks", False):
        return

    def format_for_caller(
        error: Any, /, value: Any = None, tb: TracebackType | None = None, **options: Any
    ) -> list[str]:
        if sys._getframe().f_back is None:
            return [error.__name__ if isinstance(error, type) else type(error).__name__]
        arguments = (error,) if value is None and tb is None else (error, value, tb)
        formatted: Callable[..., list[str]] = format_exception
        return formatted(*arguments, **options)

    format_for_caller.hides_tracebacks = True  # type: ignore[attr-defined]
    traceback.format_exception = format_for_caller  # type: ignore[assignment]
