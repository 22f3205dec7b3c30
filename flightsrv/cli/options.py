"""Options that several commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_URL = "grpc://127.0.0.1:50051"


def server_options(command: Command) -> Command:
    """`--url` and `--token`: which server to talk to."""
    url = click.option(
        "--url",
        default=DEFAULT_URL,
        envvar="FLIGHTSRV_URL",
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Server, as grpc://HOST:PORT or grpc+tls://HOST:PORT.",
    )
    token = click.option(
        "--token",
        envvar="FLIGHTSRV_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Bearer token, if the server wants one.",
    )
    return url(token(command))


def range_options(command: Command) -> Command:
    """`--begin` and `--end`: which time to look at."""
    begin = click.option(
        "--begin",
        metavar="TIME",
        help="Begin of the time to look at, as in 2026-01-01T10:00:00.5Z; without it, everything before the end.",
    )
    end = click.option("--end", metavar="TIME", help="End of it, included; without it, everything after the begin.")
    return begin(end(command))
