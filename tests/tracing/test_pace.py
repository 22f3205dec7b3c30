"""When the thread that sends lets the program run."""

import pytest

from flightsrv.tracing import pace


class Clock:
    """A time that passes as the test says; while a thread sleeps, others run `others_s` longer than it would."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.others_s = 0.0
        self.nb_sleeps = 0

    def perf_counter(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.nb_sleeps += 1
        self.now_s += seconds + self.others_s


@pytest.mark.parametrize(("others_s", "nb_sleeps"), [(0.0, 30), (0.005, 2)])
def test_work_and_pauses_take_turns(others_s: float, nb_sleeps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fraction of a millisecond of work, or after as long as others ran before, so that none is starved."""
    clock = Clock()
    clock.others_s = others_s
    monkeypatch.setattr(pace, "time", clock)
    own = pace.Pace()
    for _ in range(1000):
        own.keep()
        clock.now_s += 10e-6
    assert clock.nb_sleeps == pytest.approx(nb_sleeps, abs=nb_sleeps // 2)
