"""Options that name a lake."""

from collections.abc import Callable

import click


def lake_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--lake` and `--db`, which it takes as keywords."""
    command = click.option(
        "--db",
        envvar="FLIGHTSRV_DB",
        show_envvar=True,
        metavar="URL",
        help="Metadata database as an SQLAlchemy URL, such as postgresql+psycopg://user@host/name, which several "
        "servers may share. Default: an SQLite file in the lake's folder.",
    )(command)
    return click.option(
        "--lake",
        required=True,
        envvar="FLIGHTSRV_LAKE",
        show_envvar=True,
        metavar="DIR_OR_URI",
        help="Where telemetry is stored: a folder, or a URL such as s3://bucket/prefix.",
    )(command)
