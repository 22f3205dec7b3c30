"""Admission: so many at once, in the order in which they came."""

import threading

import pytest

from udtf.errors import Overloaded
from udtf.execution.admission import Admission
from udtf.execution.cancellation import QueryCancelled

TIMEOUT_S = 60.0


def never() -> bool:
    return False


def test_there_is_room_for_so_many() -> None:
    """One more is sent away, until one leaves."""
    admission = Admission("guests are in the house", 2, max_wait_s=0.0)
    admission.enter(never)
    admission.enter(never)
    with pytest.raises(Overloaded, match=r"2 guests are in the house, as many as .* try again later"):
        admission.enter(never)
    admission.leave()
    admission.enter(never)
    assert admission.inside == 2


def test_those_who_wait_come_in_by_turns() -> None:
    """Who came first is first, and nobody overtakes."""
    admission = Admission("guests are in the house", 1, TIMEOUT_S)
    admission.enter(never)
    came_in: list[int] = []
    threads = []
    for number in range(5):
        asked = threading.Event()

        def come(number: int = number, asked: threading.Event = asked) -> None:
            def is_cancelled() -> bool:
                asked.set()
                return False

            admission.enter(is_cancelled)
            came_in.append(number)
            admission.leave()

        threads.append(threading.Thread(target=come))
        threads[-1].start()
        assert asked.wait(TIMEOUT_S)  # it is in the queue
    admission.leave()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert came_in == [0, 1, 2, 3, 4]
    assert admission.inside == 0


def test_who_is_cancelled_waits_no_longer() -> None:
    """And leaves no gap in the queue."""
    admission = Admission("guests are in the house", 1, TIMEOUT_S)
    admission.enter(never)
    with pytest.raises(QueryCancelled):
        admission.enter(lambda: True)
    admission.leave()
    admission.enter(never)
    assert admission.inside == 1
