"""`GET /api/range`, and ranges in the other paths."""

import pytest

from flightsrv.client import QueryClient
from flightsrv.client.times import time_ns
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.http import ask


def test_times_as_people_write_them(gateway: RunningGateway) -> None:
    """With a zone, without one in UTC, or none at all."""
    answer = ask(f"{gateway.url}/api/range?begin=2026-01-01T12:00:00.5%2B02:00&end=2026-01-01%2010:00:01")
    assert answer.json == {"begin": "2026-01-01T10:00:00.500000000Z", "end": "2026-01-01T10:00:01.000000000Z"}
    assert ask(f"{gateway.url}/api/range").json == {"begin": None, "end": None}


def test_distances_count_from_the_same_moment(gateway: RunningGateway) -> None:
    """Which is now."""
    before_ns = time_ns("now", "begin")
    answer = ask(f"{gateway.url}/api/range?begin=-90s&end=now").json
    begin_ns, end_ns = (time_ns(answer[name], name) for name in ("begin", "end"))
    assert end_ns - begin_ns == 90 * 10**9
    assert before_ns <= end_ns <= time_ns("now", "end")


@pytest.mark.parametrize(
    ("query", "status", "complaint"),
    [
        ("begin=noon", 400, "begin must be a time such as 2026-01-01T10:00:00.5Z, -90s or now-5m, given: 'noon'"),
        ("end=-5%20fortnights", 400, "end must be a time"),
        ("begin=now&end=-1s", 400, "begin must not be after end"),
        ("last=60s", 422, "query.last: Unknown, the parameters are begin, end"),
    ],
)
def test_what_is_no_range_is_refused(gateway: RunningGateway, query: str, status: int, complaint: str) -> None:
    """With what was expected, and what came."""
    answer = ask(f"{gateway.url}/api/range?{query}")
    assert answer.status == status
    assert complaint in answer.json["message"]


def test_every_path_reads_the_same_times(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """Whatever is asked for: the spans of `small` are long over."""
    recent, whole = "begin=-1h", "begin=2026-01-01%2010:00&end=now"
    for path, count in (
        (f"/api/perfetto/{small}/info", lambda answer: answer.json["thread_events"]),
        (f"/api/processes/{small}/threads", lambda answer: sum(t["nb_events"] for t in answer.json["threads"])),
        (f"/api/perfetto/{small}/trace", lambda answer: answer.body.count(b"step") > 0),
    ):
        assert not count(ask(f"{gateway.url}{path}?{recent}"))
        assert count(ask(f"{gateway.url}{path}?{whole}"))
    body = {"time_range": {"begin": "2026-01-01 10:00", "end": "now"}, "framed": False}
    answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", body)
    assert answer.body.endswith(client.trace(small))
