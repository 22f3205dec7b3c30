"""What came out: times of one way before and after another, and by what they differ."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.lakes import ASYNC, MEDIUM, MILLION, Shape
from benchmarks.phases.measure import (
    ALL,
    ALONE,
    NAIVE,
    REST,
    UPDATES_AT_ONCE,
    UPDATES_IN_TURN,
    Way,
    figure_name,
)
from benchmarks.phases.stores import STORE_TITLES
from benchmarks.phases.switches import ASYNC_SCAN, PLANNING, SCANS, UPDATES, Phase
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

    @property
    def stores(self) -> list[str]:
        """Titles of the stores that something was measured on."""
        return [store for store in STORE_TITLES if any(f", {store}, " in name for name in self._by_name)]

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


@dataclass(frozen=True)
class Hope:
    """What the plan meant a phase to make faster, and by how much it does, on a store."""

    phase: Phase
    what: str
    factor: Callable[[Figures, str], Factor | None]


HOPES = (
    Hope(
        SCANS,
        "trace, partitions there, caches empty",
        lambda figures, store: figures.beside_others(SCANS, store, "cold cache"),
    ),
    Hope(
        UPDATES,
        "making all partitions, no trace",
        lambda figures, store: figures.factor(MILLION, store, UPDATES_IN_TURN, UPDATES_AT_ONCE, "cold"),
    ),
    Hope(PLANNING, "warm trace", lambda figures, store: figures.beside_others(PLANNING, store, "warm")),
    Hope(
        ASYNC_SCAN, "warm trace of async spans", lambda figures, store: figures.beside_others(ASYNC_SCAN, store, "warm")
    ),
)
