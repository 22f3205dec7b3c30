"""Options of a server that say who may call it, and who may read along."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from flightsrv.server.auth.settings import SecuritySettings

_FILE = click.Path(dir_okay=False, path_type=Path)

_OPTIONS = [
    click.option(
        "--tokens",
        type=_FILE,
        help="Ask callers for a token, one of those in this file, which `flightsrv token add` makes. Changes of it "
        "hold a second later.",
    ),
    click.option("--tls-cert", type=_FILE, help="Encrypt, and show clients this certificate, in PEM."),
    click.option("--tls-key", type=_FILE, help="Key of --tls-cert, in PEM."),
    click.option(
        "--tls-client-ca",
        type=_FILE,
        help="Ask clients for a certificate that is signed by one of these, in PEM. Without --tokens, whoever has one "
        "may do everything.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Listen for other machines without asking anybody who they are. Everybody may do everything.",
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
    from flightsrv.server.auth.settings import SecuritySettings, read_tls
    from flightsrv.server.auth.tokens import TokenFile

    certificate, key, client_ca = options["tls_cert"], options["tls_key"], options["tls_client_ca"]
    if (certificate is None) != (key is None) or (client_ca is not None and certificate is None):
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-client-ca needs both.")
    return SecuritySettings(
        None if options["tokens"] is None else TokenFile(options["tokens"]),
        None if certificate is None else read_tls(certificate, key, client_ca),
        is_insecure=options["insecure"],
    )
