"""`flightsrv materialize`: partitions before the first query needs them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from flightsrv.cli.lake_options import builders_option, lake_options
from flightsrv.cli.lake_work import run_on_lake
from flightsrv.cli.options import range_options
from flightsrv.cli.text import printable

if TYPE_CHECKING:
    from udtf.execution.cancellation import Cancellation
    from udtf.lake.lake import Lake


@click.command(
    epilog="Example: flightsrv materialize --lake s3://bucket/lake --db postgresql+psycopg://host/name --all --last 1h "
    "--builders dask://scheduler:8786"
)
@lake_options
@click.argument("process_ids", metavar="[PROCESS_ID...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All processes that have telemetry in the time range.")
@range_options
@builders_option
def materialize(
    lake: str,
    db: str | None,
    process_ids: tuple[str, ...],
    everything: bool,
    begin: int | None,
    end: int | None,
    builders: str,
) -> None:
    """Make the partitions of processes in a time range, so that the first trace of it is as fast as the second.

    Servers of the lake may run meanwhile, and use what is there already.
    """
    from udtf.lake.materialization import materialize_processes
    from udtf.lake.time_range import time_range_of

    if everything == bool(process_ids):
        raise click.UsageError("give either process ids or --all.")
    failures: list[str] = []
    nb_made = 0

    def work(opened: "Lake", cancellation: "Cancellation") -> None:
        nonlocal nb_made
        wanted = None if everything else set(process_ids)
        with _progress_display() as show:
            for outcome in materialize_processes(opened, time_range_of(begin, end), wanted, cancellation):
                nb_made += outcome.nb_made
                show(nb_made)
                if outcome.error is not None:
                    failures.append(f"{outcome.view_set} of process {outcome.process_id}: {outcome.error}")

    run_on_lake(lake, db, builders, work)
    for failure in failures:
        click.echo(printable(f"Warning: {failure}"), err=True)
    click.echo(f"Made {nb_made:,} partitions.")
    if failures:
        raise click.ClickException(f"{len(failures)} views could not be materialized whole")


@contextmanager
def _progress_display() -> Iterator[Callable[[int], None]]:
    """Shows on stderr how many partitions there are so far, while in its block, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda nb_made: None
        return
    from rich.console import Console
    from rich.status import Status

    with Status("Looking", console=Console(stderr=True)) as status:
        yield lambda nb_made: status.update(f"{nb_made:,} partitions made")
