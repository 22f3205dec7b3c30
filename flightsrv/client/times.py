"""Times and ranges of time as callers give them, read here and nowhere else: nanoseconds since the Unix epoch, UTC.

A time is one of:

- a moment: RFC 3339 text such as `2026-01-01T10:00:00.5+02:00`, a datetime, a pyarrow timestamp with a zone, or integer
  nanoseconds. Text and datetimes without a zone are local time.
- a distance from now: text such as `-90s`, `-1h30m`, `now-5m` or `now`, or a timedelta, which is negative in the past.
"""

import re
import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TypeAlias

import pyarrow as pa

from flightsrv.client.errors import InvalidRequest

Time: TypeAlias = datetime | timedelta | str | int | pa.Scalar

_EXPECTED = "a datetime, a timedelta, text, integer nanoseconds or a pyarrow timestamp"
_EXAMPLES = "2026-01-01T10:00:00.5Z, -90s or now-5m"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_NS, MAX_NS = -(1 << 63), (1 << 63) - 1
"""From September 1677 to April 2262: what 64 bits can hold."""

_UNITS_NS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "min": 60_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_DURATION = r"(?:\d+(?:\.\d+)?(?:d|h|min|ms|m|s|us|ns)\s*)+"
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|min|ms|m|s|us|ns)", re.ASCII)
_FROM_NOW = re.compile(rf"(?:now\s*)?([+-])\s*({_DURATION})", re.ASCII)
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d+)", re.ASCII)
_ZONE = re.compile(r"\s*(?:(Z|UTC)|([+-]\d\d:?\d\d))$", re.ASCII | re.IGNORECASE)


def time_ns(time: Time, argument: str, *, now_ns: int | None = None, zone: tzinfo | None = None) -> int:
    """Nanoseconds since the epoch, exactly.

    Args:
        argument: what an error calls the time.
        now_ns: what distances from now count from; by default, what the clock says.
        zone: of times that have none; by default, that of this machine.

    Raises:
        InvalidRequest: the time cannot be understood, or does not fit into 64 bits.
    """
    now_ns = clock.time_ns() if now_ns is None else now_ns
    if isinstance(time, datetime):
        nanoseconds = _datetime_ns(time, argument, zone)
    elif isinstance(time, timedelta):
        nanoseconds = now_ns + _timedelta_ns(time, argument)
    elif isinstance(time, str):
        nanoseconds = _text_ns(time.strip(), argument, now_ns, zone)
    elif isinstance(time, pa.Scalar):
        nanoseconds = _scalar_ns(time, argument)
    elif isinstance(time, int) and not isinstance(time, bool):
        nanoseconds = time
    else:
        raise InvalidRequest(f"{argument} must be {_EXPECTED}, given: {time!r}")
    if not MIN_NS <= nanoseconds <= MAX_NS:
        raise InvalidRequest(f"{argument} must lie between {rfc3339(MIN_NS)} and {rfc3339(MAX_NS)}, given: {time!r}")
    return nanoseconds


def range_ns(
    begin: Time | None, end: Time | None, *, now_ns: int | None = None, zone: tzinfo | None = None
) -> tuple[int | None, int | None]:
    """Both ends of a range as `time_ns` reads them, from the same moment; None stays None.

    Raises:
        InvalidRequest: as `time_ns` does, or begin is after end.
    """
    now_ns = clock.time_ns() if now_ns is None else now_ns
    begin_ns = None if begin is None else time_ns(begin, "begin", now_ns=now_ns, zone=zone)
    end_ns = None if end is None else time_ns(end, "end", now_ns=now_ns, zone=zone)
    if begin_ns is not None and end_ns is not None and begin_ns > end_ns:
        raise InvalidRequest(f"begin must not be after end, given: begin {rfc3339(begin_ns)}, end {rfc3339(end_ns)}")
    return begin_ns, end_ns


def duration_ns(text: str, argument: str) -> int:
    """Nanoseconds of a duration such as 90s, 1h30m or 0.5ms.

    Raises:
        InvalidRequest: the text is no duration, or that of no time at all.
    """
    if not re.fullmatch(_DURATION, text.strip(), re.ASCII):
        raise InvalidRequest(f"{argument} must be a duration such as 90s, 5m or 1h30m, given: {text!r}")
    nanoseconds = _sum_ns(text, argument)
    if nanoseconds == 0:
        raise InvalidRequest(f"{argument} must be longer than nothing, given: {text!r}")
    return nanoseconds


def rfc3339(nanoseconds: int) -> str:
    """Text such as 2026-01-01T10:00:00.000000001Z, always with nine digits after the point."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{fraction:09d}Z"


def _datetime_ns(time: datetime, argument: str, zone: tzinfo | None) -> int:
    try:
        zoned = time.astimezone() if time.tzinfo is zone is None else time if time.tzinfo else time.replace(tzinfo=zone)
        # Integer division of timedeltas is exact; .timestamp() would go through a float.
        microseconds = (zoned - _EPOCH) // timedelta(microseconds=1)
        # pandas has datetimes with three more digits.
        return microseconds * 1_000 + int(getattr(time, "nanosecond", 0))
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(f"{argument} is no time that can be converted to UTC, given: {time!r}") from None


def _timedelta_ns(delta: timedelta, argument: str) -> int:
    try:
        return delta // timedelta(microseconds=1) * 1_000 + int(getattr(delta, "nanoseconds", 0))
    except (ValueError, TypeError):
        raise InvalidRequest(f"{argument} is no length of time, given: {delta!r}") from None


def _text_ns(text: str, argument: str, now_ns: int, zone: tzinfo | None) -> int:
    if text == "now":
        return now_ns
    from_now = _FROM_NOW.fullmatch(text)
    if from_now is None:
        return _moment_ns(text, argument, zone)
    sign, distance = from_now.groups()
    return now_ns + _sum_ns(distance, argument) * (-1 if sign == "-" else 1)


def _moment_ns(text: str, argument: str, zone: tzinfo | None) -> int:
    """`datetime` reads all of it but the digits after the sixth, which it would drop."""
    fraction = _FRACTION.search(text)
    digits = fraction.group(1) if fraction else ""
    if len(digits) > 9 and digits[9:].strip("0"):
        raise InvalidRequest(f"{argument} has digits beyond nanoseconds, given: {text!r}")
    plain = _ZONE.sub(lambda found: "+00:00" if found[1] else found[2], _FRACTION.sub("", text, count=1))
    try:
        whole_seconds = datetime.fromisoformat(plain)
    except ValueError:
        raise InvalidRequest(f"{argument} must be a time such as {_EXAMPLES}, given: {text!r}") from None
    return _datetime_ns(whole_seconds, argument, zone) + int(digits[:9].ljust(9, "0"))


def _sum_ns(text: str, argument: str) -> int:
    """Nanoseconds of the parts of a duration."""
    nanoseconds = sum(_parts_ns(text))
    if nanoseconds != int(nanoseconds):
        raise InvalidRequest(f"{argument} has digits beyond nanoseconds, given: {text!r}")
    return int(nanoseconds)


def _parts_ns(text: str) -> Iterator[Decimal]:
    for number, unit in _PART.findall(text):
        yield Decimal(number) * _UNITS_NS[unit]


def _scalar_ns(scalar: pa.Scalar, argument: str) -> int:
    if not pa.types.is_timestamp(scalar.type) or not scalar.is_valid:
        raise InvalidRequest(f"{argument} must be {_EXPECTED}, given: {scalar!r}")
    if scalar.type.tz is None:
        raise InvalidRequest(f"{argument} must have a time zone, given: {scalar!r}")
    return int(scalar.value) * {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}[scalar.type.unit]
