"""Options of a server for authentication and encryption."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from flightsrv.policy.auth.settings import SecuritySettings

_FILE = click.Path(dir_okay=False, path_type=Path)

_OPTIONS = [
    click.option(
        "--tokens",
        type=_FILE,
        help="Require one of the tokens in this file, which `flightsrv token add` writes. Changes of the file take "
        "effect within a second.",
    ),
    click.option("--tls-cert", type=_FILE, help="Encrypt with this certificate (PEM)."),
    click.option("--tls-key", type=_FILE, help="Key of --tls-cert (PEM)."),
    click.option(
        "--tls-client-ca",
        type=_FILE,
        help="Require a client certificate signed by one of these (PEM). Without --tokens, clients that have one may "
        "do everything.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Allow other machines to connect without authentication. Every client may do everything.",
    ),
]


def security_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of this module. It takes them as keywords, and hands them to `security_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def security_of(options: dict[str, Any]) -> "SecuritySettings":
    """The settings that the values of the options mean.

    Raises:
        UsageError: options do not go together.
        InvalidArgument: a file cannot be read.
    """
    from flightsrv.policy.auth.settings import SecuritySettings, read_tls
    from flightsrv.policy.auth.tokens import TokenFile

    certificate, key, client_ca = options["tls_cert"], options["tls_key"], options["tls_client_ca"]
    if (certificate is None) != (key is None) or (client_ca is not None and certificate is None):
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-client-ca needs both.")
    return SecuritySettings(
        None if options["tokens"] is None else TokenFile(options["tokens"]),
        None if certificate is None else read_tls(certificate, key, client_ca),
        is_insecure=options["insecure"],
    )
