"""`python -m tests.fleet --seconds 60`: exits with 1 if anything was lost."""

import sys

import click

from tests.fleet.parts import FleetFailed
from tests.fleet.run import run_fleet


@click.command()
@click.option("--seconds", type=click.FloatRange(1), help="How long programs send. Default: until Ctrl-C.")
@click.option("--programs", type=click.IntRange(1), default=10, show_default=True, help="How many.")
def main(seconds: float | None, programs: int) -> None:
    """PostgreSQL, a simulator of S3, a Dask scheduler and two workers, two servers, and programs that are traced."""
    try:
        outcome = run_fleet(lambda line: click.echo(line), seconds, programs)
    except FleetFailed as error:
        sys.exit(f"Error: {error}")
    for failure in outcome.failures:
        click.echo(f"failure: {failure}")
    if not outcome.failures:
        click.echo("nothing was lost")
    sys.exit(bool(outcome.failures))


main()
