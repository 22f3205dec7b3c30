"""`GET /api/processes/{process_id}/threads`: names, counts, and the times that have data."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from flightsrv.gateway.threads import covered_ranges
from tests.gateway.http import ask
from tests.gateway.recorded import Program, record

START = datetime(2026, 1, 1, 10, tzinfo=UTC)


def ms(text: str) -> float:
    """Milliseconds since the start."""
    return (datetime.fromisoformat(text[:26] + "+00:00") - START) / timedelta(milliseconds=1)


def test_threads_with_their_ranges(gateway: RunningGateway, small: str) -> None:
    """Ordered by their begin, with every time that has events and how many."""
    answer = ask(f"{gateway.url}/api/processes/{small}/threads").json
    assert (ms(answer["begin"]), ms(answer["end"])) == (0, 700)
    assert [
        (
            thread["name"],
            thread["kind"],
            thread["thread_id"],
            thread["nb_events"],
            [(ms(covered["begin"]), ms(covered["end"]), covered["nb_events"]) for covered in thread["ranges"]],
        )
        for thread in answer["threads"]
    ] == [
        ("main", "thread", "100", 16, [(0, 100, 10), (600, 700, 6)]),
        ("event loop", "async", "100", 4, [(10, 80, 4)]),
        ("worker", "thread", "101", 4, [(50, 90, 4)]),
    ]


def test_ranges_close_together_become_one(gateway: RunningGateway, small: str) -> None:
    """No thread has more ranges than asked for."""
    answer = ask(f"{gateway.url}/api/processes/{small}/threads?max_ranges=1").json
    assert [len(thread["ranges"]) for thread in answer["threads"]] == [1, 1, 1]
    assert answer["threads"][0]["ranges"][0]["nb_events"] == 16


def test_a_range_shows_its_blocks_alone(gateway: RunningGateway, small: str) -> None:
    """All threads are listed, those without data there last; a gap is told that was too narrow before."""
    answer = ask(f"{gateway.url}/api/processes/{small}/threads?begin=2026-01-01T10:00:00.65Z&max_ranges=1").json
    assert (ms(answer["begin"]), ms(answer["end"])) == (600, 700)
    assert [(thread["name"], len(thread["ranges"])) for thread in answer["threads"]] == [
        ("main", 1),
        ("event loop", 0),
        ("worker", 0),
    ]
    assert ask(f"{gateway.url}/api/processes/{small}/threads?begin=noon").status == 400


def test_a_process_without_events(gateway: RunningGateway, client: QueryClient) -> None:
    """It has no times."""
    process_id = record(client, Program({"idle": []}))
    answer = ask(f"{gateway.url}/api/processes/{process_id}/threads").json
    assert (answer["begin"], answer["end"]) == (None, None)
    assert [(thread["name"], thread["nb_events"], thread["ranges"]) for thread in answer["threads"]] == [
        ("idle", 0, [])
    ]


def test_an_unknown_process_is_not_found(gateway: RunningGateway) -> None:
    """In words."""
    assert ask(f"{gateway.url}/api/processes/nobody/threads").status == 404


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 50), st.integers(1, 9)), max_size=20), st.integers(0, 20))
def test_covered_ranges_cover_the_blocks_and_no_wide_gap(blocks: list[tuple[int, int, int]], gap_ns: int) -> None:
    """Told instant by instant: an instant is covered when a block is there, or a gap that is narrow."""
    blocks.sort()
    begins, lengths, counts = (
        np.array(column, np.int64) for column in (zip(*blocks, strict=True) if blocks else [[]] * 3)
    )
    ranges = covered_ranges(begins, begins + lengths, counts, gap_ns)
    assert sum(count for _, _, count in ranges) == counts.sum()
    instants = {instant for begin, length, _ in blocks for instant in range(begin, begin + length + 1)}
    expected = set(instants)
    for earlier, later in pairwise(sorted(instants)):
        if later - earlier <= gap_ns:
            expected.update(range(earlier, later))
    assert {instant for begin, end, _ in ranges for instant in range(begin, end + 1)} == expected
    assert all(later[0] - earlier[1] > gap_ns for earlier, later in pairwise(ranges))
