"""`flightsrv run`: a program, traced. What it does is in `flightsrv.run`, which does without click."""

from typing import NoReturn

import click


@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> NoReturn:
    """Run a Python program, unchanged, and record it."""
    from flightsrv.run.command import main

    main(arguments)
