"""Two results of the same benchmarks: what became faster, what slower."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Result, markdown_table

NOISE = 0.05
"""Differences of the best runs up to this part of them say nothing."""

Verdict = Literal["faster", "slower", "no change", "only before", "only after"]
"""Faster stands for better: smaller, too, where sizes are measured."""


@dataclass(frozen=True)
class Comparison:
    """One figure before and after; the factor is how many times better it became."""

    name: str
    before: Result | None
    after: Result | None

    @property
    def factor(self) -> float | None:
        if self.before is None or self.after is None or not (self.before.best > 0 and self.after.best > 0):
            return None
        factor = self.before.best / self.after.best
        return 1 / factor if self.after.higher_is_better else factor

    @property
    def verdict(self) -> Verdict:
        if self.before is None:
            return "only after"
        if self.after is None:
            return "only before"
        before, after = self.before.best, self.after.best
        if abs(after - before) <= NOISE * max(abs(before), abs(after)):
            return "no change"
        return "faster" if (after > before) == self.after.higher_is_better else "slower"


def compare(before: Sequence[Result], after: Sequence[Result]) -> list[Comparison]:
    """The figures of two results, by name."""
    was = {result.name: result for result in before}
    came = {result.name: result for result in after}
    return [Comparison(name, was.get(name), came.get(name)) for name in {**was, **came}]


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    rows = [
        (
            comparison.name,
            _best(comparison.before),
            _best(comparison.after),
            "" if comparison.factor is None else f"{comparison.factor:.2f}",
            comparison.verdict,
        )
        for comparison in comparisons
    ]
    return markdown_table(("what", "best before", "best after", "times better", "verdict"), rows)


def _best(result: Result | None) -> str:
    return "" if result is None else f"{result.best:.4g} {result.unit}"
