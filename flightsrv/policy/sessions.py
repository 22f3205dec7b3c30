"""Sessions: options that a client sets once for all calls that carry its cookie.

Options have the names and the meaning of call headers, which count more where both are given; `catalog` and `schema`
say where statements look for names without one. The answer to the first action of a client gives it a cookie; a client
that does not send it back has no session, and options as by default.
"""

import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from flightsrv.policy.expiring import ExpiringMap
from flightsrv.policy.headers import NAMES, CallOptions, Headers, read_options
from flightsrv.policy.limits import SESSION_LIFETIME_S

COOKIE = "arrow_flight_session_id"
CATALOG, SCHEMA = "catalog", "schema"
"""Names of the options that are no call headers."""

_SESSION_ID = re.compile(r"[0-9a-f]{32}")

SessionOptions: TypeAlias = Mapping[str, str | bool]


class Sessions(ExpiringMap[str, SessionOptions]):
    """Options by the id of a session."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(lifetime_s=SESSION_LIFETIME_S, clock_s=clock_s)


def new_session_id() -> str:
    """An id that cannot be guessed."""
    return uuid.uuid4().hex


def session_cookie(session_id: str) -> dict[str, str]:
    """The header that gives a client its session."""
    return {"set-cookie": f"{COOKIE}={session_id}; Path=/"}


def session_id_in(headers: Headers) -> str | None:
    """The id in the cookie that a call carries, if it is one that `new_session_id` might have made."""
    for cookies in headers.get("cookie", ()):
        for cookie in str(cookies).split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == COOKIE and _SESSION_ID.fullmatch(value.strip('"')):
                return value.strip('"')
    return None


def call_options(session: SessionOptions, headers: Headers) -> CallOptions:
    """The options of a call: its headers, and those of its session.

    Raises:
        InvalidArgument: one cannot be read.
    """
    of_session = {name: [str(value)] for name, value in session.items() if name in NAMES}
    schema = session.get(SCHEMA)
    return replace(read_options({**of_session, **headers}), db_schema=None if schema is None else str(schema))
