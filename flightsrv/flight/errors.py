"""What a client sees of a failure: a status code and a short message for a user, nothing else.

What is not in the table is INTERNAL, with a query id: an error of ours that we know by its own message, anything else
by that id alone; the story is in the log.
"""

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import quote

from flightsrv.policy.auth.authentication import Unauthenticated
from flightsrv.policy.errors import Draining, QueryTimedOut
from flightsrv.wire.codec import UnsupportedMessage
from udtf.errors import (
    AlreadyExists,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    Overloaded,
    PermissionDenied,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    UdtfError,
)
from udtf.execution.cancellation import QueryCancelled

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 2048
"""Percent-encoded, as gRPC sends it. Clients drop answers with more than 8 KiB of trailers."""


class NotOffered(UdtfError):
    """The protocol knows it, this server does not do it."""


class Code(Enum):
    """Status codes of gRPC, by their names."""

    CANCELLED = auto()
    DEADLINE_EXCEEDED = auto()
    UNAUTHENTICATED = auto()
    PERMISSION_DENIED = auto()
    UNIMPLEMENTED = auto()
    NOT_FOUND = auto()
    ALREADY_EXISTS = auto()
    RESOURCE_EXHAUSTED = auto()
    INVALID_ARGUMENT = auto()
    UNAVAILABLE = auto()
    INTERNAL = auto()


class Status(NamedTuple):
    """How a call ends; `is_transient` if the same may succeed later."""

    code: Code
    message: str
    is_transient: bool = False


CODES: Sequence[tuple[type[Exception], Code]] = (
    (QueryCancelled, Code.CANCELLED),
    (QueryTimedOut, Code.DEADLINE_EXCEEDED),
    (Unauthenticated, Code.UNAUTHENTICATED),
    (PermissionDenied, Code.PERMISSION_DENIED),
    (UnsupportedMessage, Code.UNIMPLEMENTED),
    (NotOffered, Code.UNIMPLEMENTED),
    (NotFound, Code.NOT_FOUND),
    (AlreadyExists, Code.ALREADY_EXISTS),
    (LimitExceeded, Code.RESOURCE_EXHAUSTED),
    (StoreFull, Code.RESOURCE_EXHAUSTED),
    (InvalidArgument, Code.INVALID_ARGUMENT),
    (Draining, Code.UNAVAILABLE),
    (Overloaded, Code.UNAVAILABLE),
    (StoreUnavailable, Code.UNAVAILABLE),
)
"""The first match counts: more special classes stand first."""

TRANSIENT = (Draining, Overloaded, StoreFull, StoreUnavailable)
"""After these, the same may succeed later."""


def status_of(error: BaseException, query_id: str) -> Status:
    """The status for `error`; what is not for the client is logged under `query_id`."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), None)
    if isinstance(error, (StoreFull, StoreRefused, StoreUnavailable)):
        log.warning("query %s: %s: %r", query_id, error, error.__cause__)
    elif code is None:
        log.error("query %s failed", query_id, exc_info=error)
    if code is None:
        message = client_message(error) if isinstance(error, UdtfError) else "internal error"
        return Status(Code.INTERNAL, f"{message}, query id {query_id}")
    return Status(code, client_message(error), isinstance(error, TRANSIENT))


def client_message(error: BaseException) -> str:
    """The error's message, cut to what fits into the trailers of a call."""
    # What is cut here would be cut below, but a part at a time: a message may quote all that a caller has sent.
    text = str(error)
    text = text if len(text) <= MAX_MESSAGE_BYTES else text[:MAX_MESSAGE_BYTES] + "…"
    text = text.encode(errors="replace").decode()
    while len(quote(text)) > MAX_MESSAGE_BYTES:
        text = text[: len(text) * 3 // 4] + "…"
    return text
