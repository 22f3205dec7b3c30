"""Times in every form that callers have them in."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.client import InvalidRequest
from flightsrv.client.times import rfc3339, time_ns

NEW_YEAR_NS = 1_767_261_600_000_000_000


@pytest.mark.parametrize(
    ("time", "expected_ns"),
    [
        (NEW_YEAR_NS + 1, NEW_YEAR_NS + 1),
        ("2026-01-01T10:00:00Z", NEW_YEAR_NS),
        ("2026-01-01T10:00:00.000000001Z", NEW_YEAR_NS + 1),
        ("2026-01-01T12:00:00.5+02:00", NEW_YEAR_NS + 500_000_000),
        ("2026-01-01 10:00:00.25Z", NEW_YEAR_NS + 250_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        (datetime(2026, 1, 1, 10, 0, 0, 1, tzinfo=UTC), NEW_YEAR_NS + 1_000),
        (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), NEW_YEAR_NS),
        (pa.scalar(NEW_YEAR_NS + 7, pa.timestamp("ns", "UTC")), NEW_YEAR_NS + 7),
        (pa.scalar(NEW_YEAR_NS // 10**9, pa.timestamp("s", "Europe/Berlin")), NEW_YEAR_NS),
    ],
)
def test_a_time_is_read_exactly(time, expected_ns):
    """Whatever its form, no nanosecond is lost."""
    assert time_ns(time, "begin") == expected_ns


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("2026-01-01T10:00:00", "must have a time zone"),
        (datetime(2026, 1, 1), "must have a time zone"),
        (pa.scalar(1, pa.timestamp("ns")), "must have a time zone"),
        ("yesterday", "must be a time as in"),
        ("2026-01-01T10:00:00.0000000001Z", "digits beyond nanoseconds"),
        ("3000-01-01T00:00:00Z", r"between 1677-09-21T00:12:43\.145224192Z and 2262-04-11T23:47:16\.854775807Z"),
        (1.5, "must be a datetime"),
        (True, "must be a datetime"),
        (pa.scalar(1), "must be a datetime"),
        (pa.scalar(None, pa.timestamp("ns", "UTC")), "must be a datetime"),
    ],
)
def test_a_time_that_says_too_little_is_refused(time, reason):
    """The message names the argument."""
    with pytest.raises(InvalidRequest, match=f"begin .*{reason}"):
        time_ns(time, "begin")


@given(st.integers(-(2**63), 2**63 - 1))
def test_text_and_nanoseconds_are_the_same_time(nanoseconds):
    """Every time that 64 bits hold survives being written and read."""
    assert time_ns(rfc3339(nanoseconds), "begin") == nanoseconds
