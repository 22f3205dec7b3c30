"""What was measured, against what was promised."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Budget:
    """A promise: to stay at or below a limit, or at or above it."""

    limit: float
    sense: Literal["at most", "at least"] = "at most"

    @property
    def higher_is_better(self) -> bool:
        return self.sense == "at least"

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.higher_is_better else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.higher_is_better else '<='} {_number(self.limit)}"


@dataclass(frozen=True)
class Result:
    """One figure: all its runs, in the order in which they were made, and other numbers that explain it. Without a
    budget, less is better."""

    name: str
    unit: str
    budget: Budget | None
    samples: tuple[float, ...]
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        """The run that was disturbed least."""
        return max(self.samples) if self.higher_is_better else min(self.samples)

    @property
    def higher_is_better(self) -> bool:
        return self.budget is not None and self.budget.higher_is_better

    @property
    def holds(self) -> bool:
        return self.budget is None or self.budget.holds(self.value)

    def to_json(self) -> dict[str, Any]:
        promised = {} if self.budget is None else {"budget": self.budget.limit, "budget_sense": self.budget.sense}
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            **promised,
            "holds": self.holds,
            "min": min(self.samples),
            "max": max(self.samples),
            "runs": len(self.samples),
            "samples": list(self.samples),
            "details": dict(self.details),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Result":
        return Result(
            values["name"],
            values["unit"],
            Budget(values["budget"], values["budget_sense"]) if "budget" in values else None,
            tuple(values["samples"]),
            values["details"],
        )


def write_results(path: Path, results: Iterable[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([result.to_json() for result in results], indent=2) + "\n")


def read_results(path: Path) -> list[Result]:
    return [Result.from_json(values) for values in json.loads(path.read_text())]


def results_table(results: Sequence[Result]) -> str:
    """Measured against budget, to read in a terminal and to paste into a README."""
    rows = [
        (
            result.name,
            f"{_number(result.value)} {result.unit}",
            f"{_number(min(result.samples))} - {_number(max(result.samples))}",
            str(len(result.samples)),
            "" if result.budget is None else f"{result.budget} {result.unit}",
            "yes" if result.holds else "NO",
            ", ".join(f"{name} {_number(value)}" for name, value in result.details.items()),
        )
        for result in results
    ]
    return markdown_table(("what", "measured", "min - max", "runs", "budget", "holds", "details"), rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def _number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
