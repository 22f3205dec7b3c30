"""`python -m benchmarks data | run | fleet | compare`."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.compare import compare, comparison_table
from benchmarks.fleet import Fleet, measure_fleet
from benchmarks.lakes import Workbench
from benchmarks.machine import describe_machine, machine_line, write_machine
from benchmarks.recordings import RECORDINGS
from benchmarks.registry import DEFAULT, QUESTIONS
from benchmarks.results import Result, read_results, results_table, write_results

OUT = Path(__file__).parent / "out"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Measures the project against its budgets."""
    # Told to stop, leave as after an error: with servers stopped and copies of lakes removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


@main.command()
def data() -> None:
    """Make the lakes of the default run; those that are there already are kept."""
    bench = Workbench(OUT)
    for recording in RECORDINGS:
        click.echo(f"{recording.process_id}: {bench.lake(recording)}")


@main.command()
@click.argument("questions", nargs=-1, type=click.Choice(list(QUESTIONS)))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the results  [default: latest.json in benchmarks/out, or some.json for some QUESTIONS]",
)
def run(questions: tuple[str, ...], output: Path | None) -> None:
    """Measure, all that takes no hours or only some QUESTIONS; print a table against the budgets, write JSON."""
    machine = describe_machine()
    bench = Workbench(OUT)
    results: list[Result] = []
    for name in questions or DEFAULT:
        click.echo(f"{name} ...", err=True)
        results.extend(QUESTIONS[name](bench))
    _tell(output or OUT / ("some.json" if questions else "latest.json"), machine, results)


@main.command()
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=5, show_default=True, help="How long to send."
)
@click.option("--processes", type=click.IntRange(1), default=100, show_default=True, help="How many send.")
@click.option("--threads", type=click.IntRange(1), default=50, show_default=True, help="Of each process.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=OUT / "fleet.json",
    help="Where to write the results  [default: fleet.json in benchmarks/out]",
)
def fleet(minutes: float, processes: int, threads: int, output: Path) -> None:
    """Let a fleet of processes send to one server while some of them are looked at; print a table, write JSON."""
    machine = describe_machine()
    _tell(output, machine, list(measure_fleet(Workbench(OUT), Fleet(processes, threads, minutes * 60))))


@main.command("compare")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
def compare_files(before: Path, after: Path) -> None:
    """Say what became faster and what slower between two results."""
    click.echo(comparison_table(compare(read_results(before), read_results(after))))


def _tell(output: Path, machine: dict[str, Any], results: list[Result]) -> None:
    write_results(output, results)
    write_machine(output, machine)
    click.echo(results_table(results))
    click.echo(f"\n{machine_line(machine)}")


if __name__ == "__main__":
    main()
