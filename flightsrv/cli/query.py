"""`flightsrv query`: any SQL, in several forms."""

import click

from flightsrv.cli.interrupt import run_interruptibly
from flightsrv.cli.options import ServerAddress, range_options, server_options

FORMATS = ("table", "csv", "json", "arrow")

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    envvar="FLIGHTSRV_FORMAT",
    show_default=True,
    help="table; csv; json, an array with one row per line; arrow, an IPC stream.",
)


@click.command(epilog='Example: flightsrv query "SELECT process_id, exe, start_time FROM processes" --format csv')
@click.argument("sql")
@range_options
@format_option
@server_options
def query(sql: str, begin: int | None, end: int | None, form: str, server: ServerAddress) -> None:
    """Run a SQL query and print its rows on standard output.

    --begin, --end and --last limit the spans that views and process_spans show.
    """
    run_query(sql, begin, end, form, server)


def run_query(sql: str, begin: int | None, end: int | None, form: str, server: ServerAddress) -> None:
    """Print the rows of a query in one of the `FORMATS`."""
    from flightsrv.cli.rows import write_rows

    with server.connect() as client:

        def print_rows() -> None:
            with client.stream(sql, begin=begin, end=end) as batches:
                write_rows(batches.schema, batches, form)

        run_interruptibly(print_rows, client.close)
