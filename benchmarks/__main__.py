"""`python -m benchmarks data | run | compare`."""

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
    default=OUT / "latest.json",
    show_default="benchmarks/out/latest.json",
)
def run(questions: tuple[str, ...], output: Path) -> None:
    """Measure, all or only some QUESTIONS; print a table against the budgets, write JSON."""
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
