"""What the reader of jobs that run in parallel gets, and what is told while they run."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from udtf.execution.ordered import run_ordered

from udtf.execution.cancellation import Cancellation, QueryCancelled

TIMEOUT_S = 60.0


class Depth:
    """How many results wait."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def change(self, by: int) -> None:
        self.now += by
        self.most = max(self.most, self.now)


def numbers(first: int) -> Iterator[int]:
    yield from range(first, first + 10)


def test_results_come_in_the_order_of_the_jobs() -> None:
    """Whoever is first; and no more of them wait than may."""
    depth = Depth()
    jobs = [lambda first=first: numbers(first) for first in range(0, 100, 10)]
    results = run_ordered(jobs, max_jobs=4, max_waiting=5, cancellation=Cancellation(), on_waiting=depth.change)
    assert list(results) == list(range(100))
    assert depth.now == 0
    assert 1 <= depth.most <= 5 + 1


def test_a_reader_that_waits_gets_pauses() -> None:
    """Until there is a result, and none in place of one."""
    released = threading.Event()

    def late() -> Iterator[str]:
        assert released.wait(TIMEOUT_S)
        yield "late"

    results = run_ordered(
        [late], max_jobs=1, max_waiting=1, cancellation=Cancellation(), on_waiting=Depth().change, pause="pause"
    )
    assert [next(results), next(results)] == ["pause", "pause"]
    released.set()
    assert [result for result in results if result != "pause"] == ["late"]


def test_a_reader_that_waits_learns_that_its_caller_has_gone() -> None:
    """No result is needed for that."""
    released = threading.Event()
    cancellation = Cancellation()
    cancellation.is_cancelled = lambda: True

    def late() -> Iterator[int]:
        released.wait(TIMEOUT_S)
        yield 1

    results = run_ordered([late], max_jobs=1, max_waiting=1, cancellation=cancellation, on_waiting=Depth().change)
    with pytest.raises(QueryCancelled):
        next(results)
    released.set()


def test_results_that_nobody_takes_are_not_counted_for_ever() -> None:
    """A reader that leaves takes the count of what waits back to nothing."""
    depth = Depth()
    made = threading.Event()

    def job() -> Iterator[int]:
        yield from range(3)
        made.set()

    results = run_ordered([job], max_jobs=1, max_waiting=10, cancellation=Cancellation(), on_waiting=depth.change)
    assert next(results) == 0
    assert made.wait(TIMEOUT_S)
    results.close()  # type: ignore[attr-defined]
    assert depth.now == 0


def test_an_error_comes_after_the_results_before_it() -> None:
    """In the place of the job that failed."""

    def broken() -> Iterator[int]:
        yield 10
        raise ZeroDivisionError

    seen = []
    jobs = [lambda: numbers(0), broken, lambda: numbers(20)]
    with pytest.raises(ZeroDivisionError):
        seen.extend(
            run_ordered(jobs, max_jobs=3, max_waiting=100, cancellation=Cancellation(), on_waiting=Depth().change)
        )
    results = run_ordered(jobs, max_jobs=3, max_waiting=100, cancellation=Cancellation(), on_waiting=Depth().change)
    assert [next(results) for _ in range(11)] == list(range(11))


def test_without_threads_the_reader_does_the_jobs() -> None:
    """One by one, as far as it reads: what an error or a closed iterator leaves out never runs."""
    threads: list[str] = []

    def job(number: int) -> Iterator[int]:
        threads.append(threading.current_thread().name)
        yield number
        if number == 2:
            raise ValueError("no more")

    jobs = [partial(job, number) for number in range(5)]
    results = run_ordered(jobs, max_jobs=0, max_waiting=0, cancellation=Cancellation(), on_waiting=Depth().change)
    assert [next(results), next(results)] == [0, 1]
    assert threads == [threading.current_thread().name] * 2
    assert next(results) == 2
    with pytest.raises(ValueError, match="no more"):
        next(results)
    assert len(threads) == 3
