"""Call headers."""

import pytest

from flightsrv.policy.headers import CallOptions, read_options
from udtf.errors import InvalidArgument
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange


def test_no_headers_ask_for_nothing() -> None:
    """Plain clients get the defaults."""
    assert read_options({"user-agent": ["x"]}) == CallOptions()


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2026-01-01T10:00:00.5Z", 1_767_261_600_500_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, time_ns: int) -> None:
    """RFC 3339 with fractions and offsets."""
    options = read_options({"query_range_begin": [text], "query_range_end": [text]})
    assert options.time_range == TimeRange(time_ns, time_ns)


def test_range_may_be_open_on_one_side() -> None:
    """One header alone leaves the other end open."""
    zero = ["1970-01-01T00:00:00Z"]
    assert read_options({"query_range_begin": zero}).time_range == TimeRange(0, MAX_TIME_NS)
    assert read_options({"query_range_end": zero}).time_range == TimeRange(MIN_TIME_NS, 0)


def test_flags_are_read() -> None:
    """In any case of letters."""
    options = read_options({"trace_strict": ["TRUE"], "trace_progress": ["true"], "preserve_dictionary": ["false"]})
    assert options == CallOptions(strict=True, progress=True, preserve_dictionary=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query_range_begin", "yesterday"),
        ("query_range_end", ""),
        ("query_range_begin", "2026-01-01T10:00:00"),
        ("query_range_begin", "9999-01-01T00:00:00Z"),
        ("trace_strict", "1"),
        ("trace_progress", "yes"),
        ("preserve_dictionary", ""),
    ],
)
def test_bad_value_is_refused_by_the_name_of_its_header(name: str, value: str) -> None:
    """The user learns which header to mend, and what it was."""
    with pytest.raises(InvalidArgument, match=name):
        read_options({name: [value]})


def test_range_that_ends_before_it_begins_is_refused() -> None:
    """Both headers are named."""
    with pytest.raises(InvalidArgument, match="query_range_begin and query_range_end"):
        read_options({"query_range_begin": ["2026-01-02T00:00:00Z"], "query_range_end": ["2026-01-01T00:00:00Z"]})
