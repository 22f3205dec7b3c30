"""`python -m benchmarks data | run | phases | compare`."""

import signal
import sys
from pathlib import Path

import click

from benchmarks.compare import compare, comparison_table
from benchmarks.lakes import SHAPES, Workbench
from benchmarks.machine import describe_machine, machine_line, write_machine
from benchmarks.phases.factors import Figures
from benchmarks.phases.measure import PARTS, measure
from benchmarks.phases.plots import draw
from benchmarks.phases.stores import STORES
from benchmarks.phases.tables import tables
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
        click.echo(f"{shape}: {folder}")


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


@main.command()
@click.option("--store", "stores", multiple=True, type=click.Choice(list(STORES)), help="Only this one; repeatable.")
@click.option("--threads", type=click.Choice(["50", "500"]), help="Only processes of so many threads.")
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=4,
    show_default=True,
    help="A way to make traces is measured again until it has taken so long.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=OUT / "phases.json",
    help="Where to write the results, and plots beside them  [default: phases.json in benchmarks/out]",
)
@click.option("--measured", type=_FILE, help="Show these results; measure nothing.")
def phases(stores: tuple[str, ...], threads: str | None, seconds: float, output: Path, measured: Path | None) -> None:
    """Measure each optimization alone and beside the others; print tables, write JSON and plots."""
    if measured is None:
        machine = describe_machine()
        bench = Workbench(OUT)
        results: list[Result] = []
        for store_name in stores or STORES:
            with STORES[store_name](bench) as store:
                for part in PARTS:
                    if threads is None or part.shape.threads == int(threads):
                        click.echo(f"{store.title}, {part.shape} ...", err=True)
                        results.extend(measure(part, store, seconds))
        write_results(output, results)
        write_machine(output, machine)
        line = f"\n\n{machine_line(machine)}"
    else:
        results = read_results(measured)
        line = ""
    figures = Figures(results)
    click.echo(f"{tables(figures)}{line}")
    for path in draw(figures, output.parent):
        click.echo(path, err=True)


@main.command("compare")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
def compare_files(before: Path, after: Path) -> None:
    """Say what became faster and what slower between two results."""
    click.echo(comparison_table(compare(read_results(before), read_results(after))))


if __name__ == "__main__":
    main()
