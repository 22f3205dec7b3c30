"""What a user sees when a command fails: one line on stderr, never a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from flightsrv.cli.text import printable
from flightsrv.extras import install_advice

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""

_OUR_PACKAGES = frozenset({"flightsrv", "udtf"})


class CommandGroup(click.Group):
    """Commands whose errors become one line on stderr and exit code 1; usage errors have exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        finally:
            _drop_unwritable_output()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        # Here `--help` and `--version` are printed.
        with _one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _one_line():
                result = super().invoke(ctx)
                if sys.stdout is not None:
                    sys.stdout.flush()  # here a failure is still an error
                return result
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


@contextmanager
def _one_line() -> Iterator[None]:
    """Within it, errors become those that click shows in one line."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        raise click.ClickException(message_of(error)) from error


def _drop_unwritable_output() -> None:
    """What could not be written and has been told of: Python would try again at the exit, and change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def message_of(error: Exception) -> str:
    """What a user is told of an error, in one line."""
    return printable(" ".join(_message(error).split()))


def _message(error: Exception) -> str:
    missing = _missing_module(error)
    if missing is not None:
        context = click.get_current_context(silent=True)
        return install_advice(context.invoked_subcommand if context else None, missing)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # Our own errors are written for users; others need their name to make sense.
    is_ours = type(error).__module__.partition(".")[0] in _OUR_PACKAGES
    return str(error) if is_ours and str(error) else f"{type(error).__name__}: {error}"


def _missing_module(error: BaseException | None) -> str | None:
    """The module of another package that was not found, where that is why something failed."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] not in _OUR_PACKAGES:
            return error.name
        error = error.__cause__
    return None
