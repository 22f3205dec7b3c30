"""Times in JSON: RFC 3339 text with nanoseconds, which a double could not hold."""

from datetime import UTC
from typing import Annotated

import pyarrow as pa
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from flightsrv.client.times import MAX_NS, MIN_NS, Time, range_ns, rfc3339

_EXAMPLE = "2026-01-01T10:00:00.000000000Z"

TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[_EXAMPLE])]
"""A time as the gateway writes it."""

_FORMS = "RFC 3339 (UTC without a zone), `-90s`, `now-5m` or `now`"

GivenTime = Annotated[
    StrictStr | StrictInt,
    Field(description=f"{_FORMS}, or integer nanoseconds since the Unix epoch", examples=[_EXAMPLE]),
]
"""A time as a caller may write it in JSON."""

BeginQuery = Annotated[str | None, Query(description=f"{_FORMS}. Default: no limit.", examples=[_EXAMPLE])]
EndQuery = Annotated[str | None, Query(description=f"{_FORMS}, included. Default: no limit.", examples=[_EXAMPLE])]
AtQuery = Annotated[str, Query(description=f"{_FORMS}.", examples=[_EXAMPLE])]
"""Times in a URL."""


class TimeRange(BaseModel):
    """From `begin` to `end`, both included. A span is in it when it overlaps it."""

    model_config = ConfigDict(extra="forbid")

    begin: GivenTime
    end: GivenTime


def text_or_none(nanoseconds: int | None) -> str | None:
    """Nanoseconds since the epoch as text."""
    return None if nanoseconds is None else rfc3339(nanoseconds)


def utc_range(begin: Time | None, end: Time | None) -> tuple[int | None, int | None]:
    """Both in nanoseconds since the epoch; None stays None. Times without a zone are UTC, as on the page.

    Raises:
        InvalidRequest: a time cannot be understood, or begin is after end.
    """
    return range_ns(begin, end, zone=UTC)


def range_parameters(begin: Time | None, end: Time | None) -> list[pa.Scalar]:
    """Both as parameters of a query; for None, the least and the largest time. Raises as `utc_range` does."""
    begin_ns, end_ns = utc_range(begin, end)
    limits = (MIN_NS if begin_ns is None else begin_ns, MAX_NS if end_ns is None else end_ns)
    return [pa.scalar(limit_ns, pa.timestamp("ns", "UTC")) for limit_ns in limits]
