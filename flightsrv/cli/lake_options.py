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


def builders_option(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--builders`, which it takes as a keyword."""

    def check(ctx: click.Context, param: click.Parameter, value: str) -> str:
        from udtf.lake.settings import BUILDERS

        if not BUILDERS.fullmatch(value):
            raise click.BadParameter(
                f"{value!r} is none of threads, processes, dask://HOST:PORT, dask+tls://HOST:PORT."
            )
        return value

    return click.option(
        "--builders",
        default="threads",
        callback=check,
        envvar="FLIGHTSRV_BUILDERS",
        show_default=True,
        show_envvar=True,
        metavar="WHERE",
        help="What materializes partitions: threads of this process, as many other processes of this machine, or the "
        "workers of a Dask scheduler, dask://HOST:PORT.",
    )(command)
