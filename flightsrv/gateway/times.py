"""Times in JSON: RFC 3339 text with nanoseconds, which a double could not hold."""

from typing import Annotated

import pyarrow as pa
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from flightsrv.client import InvalidRequest
from flightsrv.client.times import MAX_NS, MIN_NS, Time, rfc3339, time_ns

_EXAMPLE = "2026-01-01T10:00:00.000000000Z"

TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[_EXAMPLE])]
"""A time as the gateway writes it."""

GivenTime = Annotated[
    StrictStr | StrictInt,
    Field(description="RFC 3339 text, or integer nanoseconds since the Unix epoch", examples=[_EXAMPLE]),
]
"""A time as a caller may write it in JSON."""


BeginQuery = Annotated[TimeText | None, Query(description="RFC 3339; without it, everything before the end.")]
EndQuery = Annotated[TimeText | None, Query(description="RFC 3339, included; without it, everything after the begin.")]
"""Times in a URL."""


class TimeRange(BaseModel):
    """From `begin` to `end`, both included. A span is in it when it overlaps it."""

    model_config = ConfigDict(extra="forbid")

    begin: GivenTime
    end: GivenTime


def text_or_none(nanoseconds: int | None) -> str | None:
    """Nanoseconds since the epoch as text."""
    return None if nanoseconds is None else rfc3339(nanoseconds)


def check_order(begin: Time | None, end: Time | None) -> tuple[int, int]:
    """Both in nanoseconds; the least and the largest ones there are for None.

    Raises:
        InvalidRequest: a time cannot be understood, or the end lies before the begin.
    """
    begin_ns = MIN_NS if begin is None else time_ns(begin, "begin")
    end_ns = MAX_NS if end is None else time_ns(end, "end")
    if begin_ns > end_ns:
        raise InvalidRequest(f"begin must not lie after end, given: {begin} and {end}")
    return begin_ns, end_ns


def range_parameters(begin: Time | None, end: Time | None) -> list[pa.Scalar]:
    """Both as parameters of a query. Raises InvalidRequest as `check_order` does."""
    return [pa.scalar(limit_ns, pa.timestamp("ns", "UTC")) for limit_ns in check_order(begin, end)]
