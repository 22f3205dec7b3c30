"""`flightsrv export`: telemetry out of a lake, as a Parquet dataset for other engines."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from flightsrv.cli.lake_options import builders_option, lake_options
from flightsrv.cli.lake_work import run_on_lake
from flightsrv.cli.options import range_options
from flightsrv.cli.text import printable

if TYPE_CHECKING:
    from udtf.execution.cancellation import Cancellation
    from udtf.export.export import Outcome
    from udtf.lake.lake import Lake


@click.command(epilog="Example: flightsrv export --lake ./lake --to s3://bucket/telemetry --last 2h")
@lake_options
@click.argument("process_ids", metavar="[PROCESS_ID...]", nargs=-1)
@click.option(
    "--to",
    "destination",
    required=True,
    metavar="DIR_OR_URI",
    help="Where the dataset is, or shall be: a folder, or a URL such as s3://bucket/prefix.",
)
@click.option(
    "--format", "format_", type=click.Choice(["parquet"]), default="parquet", show_default=True, help="Of the files."
)
@click.option(
    "--table",
    "names",
    multiple=True,
    metavar="TABLE",
    help="spans, log_entries, measures or links; may be repeated. Default: all of them.",
)
@range_options
@builders_option
def export(
    lake: str,
    db: str | None,
    process_ids: tuple[str, ...],
    destination: str,
    format_: str,
    names: tuple[str, ...],
    begin: int | None,
    end: int | None,
    builders: str,
) -> None:
    """Write spans, logs, measures and links of all processes, or of some, as Parquet files, by table, date and hour.

    Exports whole hours (UTC), those that the time range touches. What is there already and has not changed is not
    written again, so the same command every few minutes keeps a dataset up to date. Servers of the lake may run
    meanwhile.
    """
    from udtf.export.dataset import Dataset
    from udtf.export.export import export as outcomes_of
    from udtf.export.tables import TABLES, table_named
    from udtf.lake.time_range import time_range_of

    known = [table.name for table in TABLES]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}.", param_hint="--table")
    tables = [table_named(name) for name in dict.fromkeys(names)] or TABLES
    time_range = time_range_of(begin, end)
    totals = _Totals()

    def work(opened: "Lake", cancellation: "Cancellation") -> None:
        with closing(Dataset(destination)) as dataset:
            for outcome in outcomes_of(opened, dataset, tables, time_range, set(process_ids) or None, cancellation):
                totals.add(outcome)

    with _progress_display(totals):
        run_on_lake(lake, db, builders, work)  # What is cancelled comes the next time.
    totals.tell()


class _Totals:
    """What has come of all files so far."""

    def __init__(self) -> None:
        self.nb_seen = self.nb_files = self.nb_rows = self.size_bytes = self.nb_failed = 0

    def add(self, outcome: "Outcome") -> None:
        self.nb_seen += 1
        for text in outcome.damaged:
            click.echo(printable(f"Warning: {outcome.what}: without what is damaged: {text}"), err=True)
        if outcome.error is not None:
            click.echo(printable(f"Warning: {outcome.what} is not exported: {outcome.error}"), err=True)
            self.nb_failed += 1
        elif outcome.nb_rows:
            self.nb_files += 1
            self.nb_rows += outcome.nb_rows
            self.size_bytes += outcome.size_bytes

    def __str__(self) -> str:
        from rich.filesize import decimal

        return f"{self.nb_files:,} files, {self.nb_rows:,} rows, {decimal(self.size_bytes)}"

    def tell(self) -> None:
        """Print them. Raises ClickException if something could not be exported."""
        click.echo(
            f"Exported {self}." if self.nb_files or self.nb_failed else "Exported nothing: there is nothing new."
        )
        if self.nb_failed:
            raise click.ClickException(
                f"{self.nb_failed} files could not be exported; the same command tries them again"
            )


@contextmanager
def _progress_display(totals: _Totals) -> Iterator[None]:
    """A line on stderr that follows the totals while in its block, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    class Line:
        spinner = Spinner("dots")

        def __rich__(self) -> Spinner:
            self.spinner.update(text=Text(f"{totals}; {totals.nb_seen:,} looked at"))
            return self.spinner

    with Live(Line(), console=Console(stderr=True), transient=True):
        yield
