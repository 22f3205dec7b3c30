"""`python -m benchmarks data | run | compare`."""

import signal
import sys
from pathlib import Path

import click

from benchmarks.compare import compare, comparison_table
from benchmarks.lakes import SHAPES, Workbench
from benchmarks.machine import describe_machine, machine_line, write_machine
from benchmarks.registry import QUESTIONS
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
    """Make the lakes that are measured; those that are there already are kept."""
    bench = Workbench(OUT)
    for shape in SHAPES:
        folder = bench.lake(shape)
        click.echo(f"{shape.threads} threads x {shape.spans_per_thread:,} spans: {folder}")


@main.command()
@click.argument("questions", nargs=-1, type=click.Choice(list(QUESTIONS)))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the results  [default: latest.json in benchmarks/out, or some.json for some QUESTIONS]",
)
def run(questions: tuple[str, ...], output: Path | None) -> None:
    """Measure, all or only some QUESTIONS; print a table against the budgets, write JSON."""
    output = output or OUT / ("some.json" if questions else "latest.json")
    machine = describe_machine()
    bench = Workbench(OUT)
    results: list[Result] = []
    for name in questions or QUESTIONS:
        click.echo(f"{name} ...", err=True)
        results.extend(QUESTIONS[name](bench))
    write_results(output, results)
    write_machine(output, machine)
    click.echo(results_table(results))
    click.echo(f"\n{machine_line(machine)}")


@main.command("compare")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
def compare_files(before: Path, after: Path) -> None:
    """Say what became faster and what slower between two results."""
    click.echo(comparison_table(compare(read_results(before), read_results(after))))


if __name__ == "__main__":
    main()
