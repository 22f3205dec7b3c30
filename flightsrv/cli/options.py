"""Options that several commands have."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flightsrv.cli.interrupt import run_interruptibly

if TYPE_CHECKING:
    from flightsrv.client import QueryClient, Tls

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_URL = "grpc://127.0.0.1:50051"

_TLS_OPTIONS: dict[str, dict[str, Any]] = {
    "tls-ca": {
        "metavar": "FILE",
        "help": "Certificates that the server's must be signed by, in PEM; without it, those that the system trusts.",
    },
    "tls-client-cert": {
        "metavar": "FILE",
        "help": "Certificate to show to a server that asks for one, in PEM; its key is --tls-client-key.",
    },
    "tls-client-key": {"metavar": "FILE", "help": "Key of --tls-client-cert, in PEM."},
}


@dataclass(frozen=True)
class ServerAddress:
    """Which server to talk to, and how."""

    url: str
    token: str | None
    tls_ca: str | None
    tls_client_cert: str | None
    tls_client_key: str | None

    @property
    def tls(self) -> "Tls":
        """The files for an encrypted connection."""
        from flightsrv.client import Tls

        return Tls(self.tls_ca, self.tls_client_cert, self.tls_client_key)

    def connect(self) -> "QueryClient":
        """A connection to the server; raises as `flightsrv.client.connect`."""
        from flightsrv.client import connect

        return run_interruptibly(lambda: connect(self.url, self.token, tls=self.tls))


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--url`, `--token` and so on: which server to talk to. The command takes it as `server`, a ServerAddress."""

    @wraps(command)
    def with_server(
        url: str,
        token: str | None,
        tls_ca: str | None,
        tls_client_cert: str | None,
        tls_client_key: str | None,
        **others: Any,
    ) -> None:
        command(server=ServerAddress(url, token, tls_ca, tls_client_cert, tls_client_key), **others)

    url_option = click.option(
        "--url",
        default=DEFAULT_URL,
        envvar="FLIGHTSRV_URL",
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Server, as grpc://HOST:PORT or grpc+tls://HOST:PORT.",
    )
    token_option = click.option(
        "--token",
        envvar="FLIGHTSRV_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Bearer token, if the server wants one.",
    )
    tls_options = [
        click.option(f"--{name}", envvar=f"FLIGHTSRV_{name.upper().replace('-', '_')}", show_envvar=True, **about)
        for name, about in _TLS_OPTIONS.items()
    ]
    decorated: Callable[..., None] = with_server
    for option in reversed([url_option, token_option, *tls_options]):
        decorated = option(decorated)
    return decorated


def range_options(command: Command) -> Command:
    """`--begin` and `--end`: which time to look at."""
    begin = click.option(
        "--begin",
        metavar="TIME",
        help="Begin of the time to look at, as in 2026-01-01T10:00:00.5Z; without it, everything before the end.",
    )
    end = click.option("--end", metavar="TIME", help="End of it, included; without it, everything after the begin.")
    return begin(end(command))
