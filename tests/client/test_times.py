"""Times in every form that callers have them in."""

import time as clock
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.client import InvalidRequest
from flightsrv.client.times import duration_ns, range_ns, rfc3339, time_ns

NEW_YEAR_NS = 1_767_261_600_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
BERLIN = ZoneInfo("Europe/Berlin")
UNITS_NS = {
    "d": 86_400 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
    "min": MINUTE_NS,
    "m": MINUTE_NS,
    "s": SECOND_NS,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}


@pytest.mark.parametrize(
    ("time", "expected_ns"),
    [
        (NEW_YEAR_NS + 1, NEW_YEAR_NS + 1),
        ("2026-01-01T10:00:00Z", NEW_YEAR_NS),
        ("2026-01-01t10:00:00z", NEW_YEAR_NS),
        ("2026-01-01T10:00:00.000000001Z", NEW_YEAR_NS + 1),
        ("2026-01-01T12:00:00.5+02:00", NEW_YEAR_NS + 500_000_000),
        ("2026-01-01 05:30:00 -0430", NEW_YEAR_NS),
        ("2026-01-01 10:00:00.25Z", NEW_YEAR_NS + 250_000_000),
        (" 2026-01-01 10:00 UTC ", NEW_YEAR_NS),
        ("1969-12-31T23:59:59.999999999Z", -1),
        (datetime(2026, 1, 1, 10, 0, 0, 1, tzinfo=UTC), NEW_YEAR_NS + 1_000),
        (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), NEW_YEAR_NS),
        (pa.scalar(NEW_YEAR_NS + 7, pa.timestamp("ns", "UTC")), NEW_YEAR_NS + 7),
        (pa.scalar(NEW_YEAR_NS // 10**9, pa.timestamp("s", "Europe/Berlin")), NEW_YEAR_NS),
        (pd.Timestamp(NEW_YEAR_NS + 7, tz="Europe/Berlin"), NEW_YEAR_NS + 7),
    ],
)
def test_a_moment_is_read_exactly(time: object, expected_ns: int) -> None:
    """Whatever its form, no nanosecond is lost."""
    assert time_ns(time, "begin") == expected_ns


@pytest.mark.parametrize(
    ("time", "before_ns"),
    [
        ("now", 0),
        ("-60s", MINUTE_NS),
        ("-5m", 5 * MINUTE_NS),
        ("-5min", 5 * MINUTE_NS),
        ("-2h", 120 * MINUTE_NS),
        ("now-1m", MINUTE_NS),
        (" now - 1h 30m ", 90 * MINUTE_NS),
        ("-1.5s", 1_500_000_000),
        ("+1d", -1440 * MINUTE_NS),
        (timedelta(seconds=-60), MINUTE_NS),
        (timedelta(microseconds=3), -3_000),
        (pd.Timedelta(-1, "ns"), 1),
    ],
)
def test_a_distance_counts_from_now(time: object, before_ns: int) -> None:
    """Below zero it is in the past."""
    assert time_ns(time, "begin", now_ns=NEW_YEAR_NS) == NEW_YEAR_NS - before_ns


def test_now_is_what_the_clock_says() -> None:
    """At the time of the call."""
    before_ns = clock.time_ns()
    assert before_ns <= time_ns("now", "begin") <= clock.time_ns()


@pytest.mark.parametrize("time", ["2026-07-01 10:00:00.5", datetime(2026, 7, 1, 10, 0, 0, 500_000)])
def test_a_moment_without_a_zone_is_local(time: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this machine is, or where the caller says."""
    monkeypatch.setenv("TZ", "America/New_York")
    clock.tzset()
    try:
        assert time_ns(time, "begin") == time_ns("2026-07-01T14:00:00.5Z", "begin")
        assert time_ns(time, "begin", zone=BERLIN) == time_ns("2026-07-01T08:00:00.5Z", "begin")
    finally:
        monkeypatch.undo()
        clock.tzset()


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (pa.scalar(1, pa.timestamp("ns")), "must have a time zone"),
        ("yesterday", "must be a time such as"),
        ("", "must be a time such as"),
        ("-", "must be a time such as"),
        ("-5", "must be a time such as"),
        ("5m", "must be a time such as"),
        ("-5 fortnights", "must be a time such as"),
        ("now 5m", "must be a time such as"),
        ("2026-13-01T00:00:00Z", "must be a time such as"),
        ("2026-01-01T10:00:00.0000000001Z", "digits beyond nanoseconds"),
        ("-0.5ns", "digits beyond nanoseconds"),
        ("3000-01-01T00:00:00Z", r"between 1677-09-21T00:12:43\.145224192Z and 2262-04-11T23:47:16\.854775807Z"),
        ("-1000000d", r"between 1677-09-21T00:12:43\.145224192Z and 2262-04-11T23:47:16\.854775807Z"),
        ("0001-01-01 00:00", "no time that can be converted|between 1677"),
        (timedelta.max, r"between 1677-09-21T00:12:43\.145224192Z and 2262-04-11T23:47:16\.854775807Z"),
        (1 << 63, r"between 1677-09-21T00:12:43\.145224192Z and 2262-04-11T23:47:16\.854775807Z"),
        (1.5, "must be a datetime"),
        (True, "must be a datetime"),
        (pa.scalar(1), "must be a datetime"),
        (pa.scalar(None, pa.timestamp("ns", "UTC")), "must be a datetime"),
        (pd.NaT, "no time that can be converted"),
    ],
)
def test_what_is_no_time_is_refused(time: object, reason: str) -> None:
    """The message names the argument, what was expected and what came."""
    with pytest.raises(InvalidRequest, match=rf"^begin .*({reason}).*given: "):
        time_ns(time, "begin")


@given(st.integers(-(2**63), 2**63 - 1))
def test_text_and_nanoseconds_are_the_same_time(nanoseconds: int) -> None:
    """Every time that 64 bits hold survives being written and read."""
    assert time_ns(rfc3339(nanoseconds), "begin") == nanoseconds


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from("T "),
    st.sampled_from(["", " "]),
)
def test_every_offset_is_read(local: datetime, offset_minutes: int, separator: str, space: str) -> None:
    """The same moment in any zone is the same time."""
    zoned = local.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    text = f"{local.isoformat(separator)}{space}{zoned.isoformat()[-6:]}"
    assert time_ns(text, "begin") == time_ns(zoned, "begin")


@given(st.datetimes(datetime(1980, 1, 1), datetime(2030, 1, 1)), st.sampled_from(["UTC", "Asia/Kathmandu", BERLIN.key]))
def test_local_text_and_local_datetimes_agree(local: datetime, zone_name: str) -> None:
    """Also about the hours that a change of the clock repeats or leaves out."""
    zone = ZoneInfo(zone_name)
    zoned = time_ns(local.replace(tzinfo=zone), "begin")
    assert time_ns(local.isoformat(" "), "begin", zone=zone) == time_ns(local, "begin", zone=zone) == zoned


numbers = st.decimals(0, 1000, places=3).map(lambda number: f"{number:f}") | st.integers(0, 1000).map(str)
parts = st.lists(st.tuples(numbers, st.sampled_from(sorted(UNITS_NS))), min_size=1, max_size=4)


@given(parts, st.sampled_from(["", "now", "now "]), st.sampled_from(["", " "]))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[str, str]], now: str, space: str) -> None:
    """In any units; parts of a nanosecond are refused rather than rounded."""
    text = space.join(number + unit for number, unit in parts)
    expected_ns = sum(Fraction(number) * UNITS_NS[unit] for number, unit in parts)
    if expected_ns.denominator > 1:
        with pytest.raises(InvalidRequest, match="digits beyond nanoseconds"):
            time_ns(f"{now}-{text}", "begin", now_ns=NEW_YEAR_NS)
    else:
        assert time_ns(f"{now}-{text}", "begin", now_ns=NEW_YEAR_NS) == NEW_YEAR_NS - expected_ns
        if expected_ns:
            assert duration_ns(text, "--last") == expected_ns


near_times = st.text(alphabet="now+-0123456789.,:TZdhmsµ ٣\n", max_size=20) | st.text(max_size=12)


@given(near_times)
def test_any_text_is_a_time_or_is_refused(text: str) -> None:
    """With a message that shows it; nothing else is raised."""
    for read in (time_ns, duration_ns):
        try:
            found = read(text, "begin")
        except InvalidRequest as error:
            message = str(error)
            assert message.startswith("begin ")
            assert "given: " in message
        else:
            assert -(2**63) <= found < 2**63


@pytest.mark.parametrize("text", ["", "60", "-60s", "60 fortnights", "0s", "now"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A duration has a unit and no sign."""
    with pytest.raises(InvalidRequest, match=r"^--last must be .*, given: "):
        duration_ns(text, "--last")


def test_both_ends_of_a_range_count_from_the_same_moment() -> None:
    """So that a range of no length is one."""
    begin_ns, end_ns = range_ns("-60s", timedelta(seconds=-60))
    assert begin_ns == end_ns
    assert range_ns(None, None) == (None, None)
    assert range_ns("-1h", None, now_ns=NEW_YEAR_NS) == (NEW_YEAR_NS - 60 * MINUTE_NS, None)


def test_a_range_does_not_end_before_it_begins() -> None:
    """The message has both as times."""
    with pytest.raises(
        InvalidRequest, match=r"begin must not be after end, given: begin 2026-01-01T10:00:00\.0+Z, end"
    ):
        range_ns("now", "-1s", now_ns=NEW_YEAR_NS)
