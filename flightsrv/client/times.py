"""Times as callers like to give them, and as the server reads them: nanoseconds since the Unix epoch, UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pyarrow as pa

from flightsrv.client.errors import InvalidRequest

Time: TypeAlias = datetime | str | int | pa.Scalar
"""Datetimes, text and scalars carry a time zone; an integer counts nanoseconds."""

_EXPECTED = "a datetime, RFC 3339 text, integer nanoseconds or a pyarrow timestamp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d+)")
MIN_NS, MAX_NS = -(1 << 63), (1 << 63) - 1
"""From September 1677 to April 2262: what 64 bits can hold."""


def time_ns(time: Time, argument: str) -> int:
    """Nanoseconds since the epoch, exactly.

    Raises:
        InvalidRequest: the time cannot be understood, has no time zone, or does not fit into 64 bits.
    """
    if isinstance(time, datetime):
        nanoseconds = _datetime_ns(time, argument)
    elif isinstance(time, str):
        nanoseconds = _text_ns(time, argument)
    elif isinstance(time, pa.Scalar):
        nanoseconds = _scalar_ns(time, argument)
    elif isinstance(time, int) and not isinstance(time, bool):
        nanoseconds = time
    else:
        raise InvalidRequest(f"{argument} must be {_EXPECTED}, given: {time!r}")
    if not MIN_NS <= nanoseconds <= MAX_NS:
        raise InvalidRequest(f"{argument} must lie between {rfc3339(MIN_NS)} and {rfc3339(MAX_NS)}, given: {time!r}")
    return nanoseconds


def rfc3339(nanoseconds: int) -> str:
    """Text such as 2026-01-01T10:00:00.000000001Z, always with nine digits after the point."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{fraction:09d}Z"


def _datetime_ns(time: datetime, argument: str) -> int:
    if time.tzinfo is None:
        raise InvalidRequest(f"{argument} must have a time zone, given: {time.isoformat()} (add Z for UTC)")
    # Integer division of timedeltas is exact; .timestamp() would go through a float.
    return (time - _EPOCH) // timedelta(microseconds=1) * 1_000


def _text_ns(text: str, argument: str) -> int:
    """`datetime` reads all of it but the digits after the sixth, which it would drop."""
    fraction = _FRACTION.search(text)
    digits = fraction.group(1) if fraction else ""
    if len(digits) > 9 and digits[9:].strip("0"):
        raise InvalidRequest(f"{argument} has digits beyond nanoseconds, given: {text!r}")
    try:
        whole_seconds = datetime.fromisoformat(_FRACTION.sub("", text.strip(), count=1))
    except ValueError:
        raise InvalidRequest(
            f"{argument} must be a time as in 2026-01-01T10:00:00.5Z (RFC 3339), given: {text!r}"
        ) from None
    return _datetime_ns(whole_seconds, argument) + int(digits[:9].ljust(9, "0"))


def _scalar_ns(scalar: pa.Scalar, argument: str) -> int:
    if not pa.types.is_timestamp(scalar.type) or not scalar.is_valid:
        raise InvalidRequest(f"{argument} must be {_EXPECTED}, given: {scalar!r}")
    if scalar.type.tz is None:
        raise InvalidRequest(f"{argument} must have a time zone, given: {scalar!r}")
    return int(scalar.value) * {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}[scalar.type.unit]
