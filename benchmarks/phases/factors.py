"""What came out: times of one way before and after another, and by what they differ."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.lakes import ASYNC, MEDIUM, MILLION, Shape
from benchmarks.phases.measure import ALL, ALONE, NAIVE, REST, Way, figure_name
from benchmarks.phases.switches import ASYNC_SCAN, Phase
from benchmarks.results import Result


@dataclass(frozen=True)
class Factor:
    """Best times of two ways in milliseconds."""

    before_ms: float
    after_ms: float

    @property
    def value(self) -> float:
        """How many times faster it became."""
        return self.before_ms / self.after_ms


class Figures:
    """Results of `measure`, perhaps of some parts or stores only."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._by_name = {result.name: result for result in results}

    def result(self, shape: Shape, store: str, way: Way, state: str) -> Result | None:
        return self._by_name.get(figure_name(shape, store, way, state))

    def factor(self, shape: Shape, store: str, before: Way, after: Way, state: str) -> Factor | None:
        """None where one of the two was not measured."""
        was, came = (self.result(shape, store, way, state) for way in (before, after))
        return None if was is None or came is None else Factor(was.best, came.best)

    def alone(self, phase: Phase, store: str, state: str) -> Factor | None:
        """What a phase makes of the naive way."""
        return self.factor(ASYNC if phase is ASYNC_SCAN else MEDIUM, store, NAIVE, ALONE[phase], state)

    def beside_others(self, phase: Phase, store: str, state: str) -> Factor | None:
        """What a phase makes of all others together."""
        return self.factor(ASYNC if phase is ASYNC_SCAN else MILLION, store, REST[phase], ALL, state)
