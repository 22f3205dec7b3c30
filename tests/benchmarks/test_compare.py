"""Comparisons of results say what is faster, what slower, and what is neither."""

import json
from pathlib import Path

import pytest

from benchmarks.compare import Verdict, compare, comparison_table
from benchmarks.results import Budget, Result, read_results, results_table, write_results

MILLISECONDS = Budget(100)
FACTOR = Budget(8, "at least")


def result(budget: Budget | None, *samples: float, name: str = "figure") -> Result:
    return Result(name, "units", budget, samples)


@pytest.mark.parametrize(
    ("budget", "before", "after", "verdict"),
    [
        (MILLISECONDS, (100.0, 120.0), (80.0, 200.0), "faster"),
        (MILLISECONDS, (80.0, 200.0), (100.0, 120.0), "slower"),
        (MILLISECONDS, (100.0,), (104.9,), "no change"),
        (MILLISECONDS, (100.0,), (95.1,), "no change"),
        (MILLISECONDS, (0.0,), (0.0,), "no change"),
        (FACTOR, (8.0, 1.0), (10.0, 1.0), "faster"),
        (FACTOR, (10.0, 1.0), (8.0, 1.0), "slower"),
        (None, (100.0, 120.0), (80.0, 200.0), "faster"),
    ],
)
def test_the_best_runs_decide_in_the_sense_of_the_budget(
    budget: Budget | None, before: tuple[float, ...], after: tuple[float, ...], verdict: Verdict
) -> None:
    """Runs that something else disturbed do not count, and differences up to five percent are none."""
    (comparison,) = compare([result(budget, *before)], [result(budget, *after)])
    assert comparison.verdict == verdict


def test_the_factor_says_how_many_times_better() -> None:
    """It is above 1 for an improvement, whether less or more is better."""
    (less,) = compare([result(MILLISECONDS, 100)], [result(MILLISECONDS, 50)])
    (more,) = compare([result(FACTOR, 5)], [result(FACTOR, 10)])
    assert less.factor == more.factor == 2


def test_figures_of_one_side_only_are_shown_as_such() -> None:
    """A figure that came or went is neither faster nor slower."""
    comparisons = compare([result(MILLISECONDS, 1, name="old")], [result(MILLISECONDS, 1, name="new")])
    assert [(comparison.name, comparison.verdict) for comparison in comparisons] == [
        ("old", "only before"),
        ("new", "only after"),
    ]
    assert "only after" in comparison_table(comparisons)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    """JSON keeps every run, and has the keys that scripts read."""
    results = [
        Result("warm trace", "ms", MILLISECONDS, (90.0, 110.0, 105.0), {"of which asleep": 1.5}),
        Result("factor", "times faster", FACTOR, (9.0,)),
        Result("without a promise", "ms", None, (5.0,)),
    ]
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    first, second, third = json.loads(path.read_text())
    assert {key: first[key] for key in ("name", "value", "unit", "budget", "holds", "min", "max", "runs")} == {
        "name": "warm trace",
        "value": 105.0,
        "unit": "ms",
        "budget": 100,
        "holds": False,
        "min": 90.0,
        "max": 110.0,
        "runs": 3,
    }
    assert second["holds"] is True
    assert "budget" not in third


def test_the_table_says_what_does_not_hold() -> None:
    """A median over the budget is marked."""
    table = results_table([result(MILLISECONDS, 90, 101, 102), result(FACTOR, 9, name="factor")])
    assert [line.split("|")[6].strip() for line in table.splitlines()[2:]] == ["NO", "yes"]
