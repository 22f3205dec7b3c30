"""`GET /api/perfetto/{process_id}/info`: what to expect."""

import pytest

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.conftest import SMALL
from tests.gateway.http import ask
from tests.gateway.recorded import Job, Program, record


def test_counts_of_the_whole_life(gateway: RunningGateway, small: str) -> None:
    """Threads, async streams and their events, and from when to when."""
    info = ask(f"{gateway.url}/api/perfetto/{small}/info").json
    assert info["process_ids"] == [small]
    assert (info["begin"], info["end"]) == ("2026-01-01T10:00:00.000000000Z", "2026-01-01T10:00:00.700000000Z")
    assert (info["threads"], info["thread_events"]) == (2, 20)
    assert (info["async_streams"], info["async_events"]) == (1, 4)


def test_a_range_counts_in_part_what_lies_in_it_in_part(gateway: RunningGateway, small: str) -> None:
    """Half of the second job's six events, and no async one."""
    info = ask(f"{gateway.url}/api/perfetto/{small}/info?begin=2026-01-01T10:00:00.65Z").json
    assert (info["threads"], info["thread_events"], info["async_streams"], info["async_events"]) == (1, 3, 0, 0)
    assert info["begin"] == "2026-01-01T10:00:00.650000000Z"


def test_the_estimate_is_near_the_trace(gateway: RunningGateway, client: QueryClient) -> None:
    """Of its size within a third, where the trace is large enough for its begin not to matter; of its time, that it is
    shorter once the trace was made."""
    process_id = record(client, Program({f"thread {n}": [Job(0, 1000, steps=4000)] for n in range(4)}, SMALL.requests))
    url = f"{gateway.url}/api/perfetto/{process_id}/info"
    cold = ask(url).json
    assert cold["materialized"] == 0
    for span_types in ("both", "thread"):
        estimate = ask(f"{url}?span_types={span_types}").json["estimate"]["size_bytes"]
        assert estimate == pytest.approx(len(client.trace(process_id, span_types=span_types)), rel=1 / 3)
    warm = ask(url).json
    assert warm["materialized"] == 1
    assert warm["estimate"]["seconds"] < cold["estimate"]["seconds"]


def test_of_several_processes(gateway: RunningGateway, small: str, conductor: str) -> None:
    """The sum of what each has, and from the first event to the last."""
    together, *alone = (
        ask(f"{gateway.url}/api/perfetto/{ids}/info").json for ids in (f"{small},{conductor}", small, conductor)
    )
    for counted in ("threads", "thread_events", "async_streams", "async_events"):
        assert together[counted] == sum(info[counted] for info in alone)
    assert together["process_ids"] == [small, conductor]
    assert (together["begin"], together["end"]) == (alone[0]["begin"], alone[1]["end"])
    sizes = [info["estimate"]["size_bytes"] for info in alone]
    assert together["estimate"]["size_bytes"] == pytest.approx(sum(sizes), abs=1)


def test_nothing_is_expected_of_nothing(gateway: RunningGateway, small: str) -> None:
    """A range without events, and span types that the process does not have there."""
    for query in ("begin=2027-01-01T00:00:00Z", "begin=2026-01-01T10:00:00.5Z&span_types=async"):
        info = ask(f"{gateway.url}/api/perfetto/{small}/info?{query}").json
        assert (info["begin"], info["end"], info["estimate"]["size_bytes"]) == (None, None, 0)


def test_an_unknown_process_is_not_found(gateway: RunningGateway, small: str) -> None:
    """In words, also among others."""
    assert ask(f"{gateway.url}/api/perfetto/nobody/info").status == 404
    answer = ask(f"{gateway.url}/api/perfetto/{small},unknown/info")
    assert (answer.status, answer.json["message"]) == (404, "there is no process 'unknown'")
