"""`flightsrv token`: the tokens that a server accepts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flightsrv.policy.auth.tokens import Tokens

_tokens_option = click.option(
    "--tokens",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    envvar="FLIGHTSRV_SERVE_TOKENS",
    show_envvar=True,
    help="File of tokens, as for `flightsrv serve`.",
)


@click.group(epilog="Example: flightsrv token add grafana --role reader --tokens tokens.json")
def token() -> None:
    """Make, list and remove the tokens that a server accepts.

    Changes take effect in a running server within a second.
    """


@token.command(epilog="Example: flightsrv token add grafana --role reader --tokens tokens.json")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(["reader", "writer", "admin"]),
    multiple=True,
    required=True,
    help="What the token allows: reader runs statements, writer sends telemetry, admin does everything. May be "
    "repeated.",
)
@click.option(
    "--process",
    "processes",
    multiple=True,
    metavar="PROCESS_ID",
    help="Limit the token to this process. May be repeated. Default: all processes.",
)
@_tokens_option
def add(name: str, roles: tuple[str, ...], processes: tuple[str, ...], file: Path) -> None:
    """Make a token and print it. It cannot be printed again: the file holds a hash. A missing file is created."""
    from flightsrv.policy.auth.principal import Principal, Role
    from flightsrv.policy.auth.tokens import Tokens, tokens_locked, write_tokens

    principal = Principal(name, frozenset(map(Role, roles)), frozenset(processes) or None)
    with tokens_locked(file):
        tokens, made = (_read(file) if file.exists() else Tokens()).with_new(principal)
        write_tokens(tokens, file)
    click.echo(made)


@token.command("list")
@_tokens_option
def list_tokens(file: Path) -> None:
    """List the tokens, one per line: name, roles, processes."""
    for entry in _read(file).entries:
        principal = entry.principal
        processes = principal.visible_processes
        of_processes = "all processes" if processes is None else " ".join(sorted(processes))
        click.echo("\t".join([principal.name, " ".join(sorted(principal.roles)), of_processes]))


@token.command()
@click.argument("name")
@_tokens_option
def remove(name: str, file: Path) -> None:
    """Remove a token."""
    from flightsrv.policy.auth.tokens import tokens_locked, write_tokens

    with tokens_locked(file):
        write_tokens(_read(file).without(name), file)


def _read(file: Path) -> "Tokens":
    from flightsrv.policy.auth.tokens import read_tokens

    return read_tokens(file)
