"""Options that several commands have."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from flightsrv.cli.interrupt import run_interruptibly

if TYPE_CHECKING:
    from flightsrv.client import QueryClient, Tls

DEFAULT_URL = "grpc://127.0.0.1:50051"

_TLS_OPTIONS: dict[str, dict[str, Any]] = {
    "tls-ca": {
        "metavar": "FILE",
        "help": "Certificates that the server's must be signed by (PEM). Default: those of the system.",
    },
    "tls-client-cert": {
        "metavar": "FILE",
        "help": "Client certificate (PEM), for servers that require one.",
    },
    "tls-client-key": {"metavar": "FILE", "help": "Key of --tls-client-cert (PEM)."},
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
        help="Bearer token, if the server requires one.",
    )
    tls_options = [
        click.option(f"--{name}", envvar=f"FLIGHTSRV_{name.upper().replace('-', '_')}", show_envvar=True, **about)
        for name, about in _TLS_OPTIONS.items()
    ]
    decorated: Callable[..., None] = with_server
    for option in reversed([url_option, token_option, *tls_options]):
        decorated = option(decorated)
    return decorated


def range_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--begin`, `--end`, `--last`: which time to look at. The command takes it as `begin` and `end`, in nanoseconds
    since the Unix epoch or None."""

    @wraps(command)
    def with_range(begin: str | None, end: str | None, last: str | None, **others: Any) -> None:
        from flightsrv.client import InvalidRequest
        from flightsrv.client.times import duration_ns, range_ns

        if last is not None and (begin is not None or end is not None):
            raise click.UsageError("--last does not go with --begin or --end.")
        try:
            if last is not None:
                begin = f"-{duration_ns(last, '--last')}ns"
            begin_ns, end_ns = range_ns(begin, end)
        except InvalidRequest as error:
            raise click.UsageError(str(error)) from error
        command(begin=begin_ns, end=end_ns, **others)

    options = [
        click.option(
            "--begin",
            metavar="TIME",
            help="Begin of the time range: 2026-01-01T10:00:00Z, 2026-01-01T12:00:00+02:00, '2026-01-01 10:00:00.5' "
            "(local time), -90s, -1h30m or now-5m. Default: no limit.",
        ),
        click.option("--end", metavar="TIME", help="End of the time range, included. Default: no limit."),
        click.option("--last", "--since", metavar="DURATION", help="The same as --begin -DURATION, as in --last 60s."),
    ]
    decorated: Callable[..., None] = with_range
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
