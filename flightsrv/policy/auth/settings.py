"""How a server is protected: tokens, and TLS."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from flightsrv.policy.auth.tokens import TokenFile, Tokens
from udtf.errors import InvalidArgument


@dataclass(frozen=True)
class Tls:
    """What it takes to encrypt, in PEM.

    Attributes:
        client_ca: certificates that those of clients must be signed by; None asks clients for none.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True)
class SecuritySettings:
    """How a server is protected. Without anything it is open to everybody on the machine.

    Attributes:
        tokens: those that callers need one of; None asks for no token.
        tls: None does not encrypt.
        is_insecure: whether to listen for other machines without tokens.
    """

    tokens: TokenFile | Tokens | None = None
    tls: Tls | None = None
    is_insecure: bool = False

    @property
    def asks_callers(self) -> bool:
        """Whether callers must send a token."""
        return self.tokens is not None or (self.tls is not None and self.tls.client_ca is not None)

    def check_address(self, host: str) -> None:
        """Raise InvalidArgument if a server at this address would be open to other machines."""
        if not (is_loopback(host) or self.asks_callers or self.is_insecure):
            raise InvalidArgument(
                f"other machines can reach {host} without authentication: give --tokens or --tls-client-ca, or "
                "--insecure to allow that"
            )


def read_tls(certificate: Path, key: Path, client_ca: Path | None) -> Tls:
    """Read what it takes to encrypt from files.

    Raises:
        InvalidArgument: a file cannot be read, or is not what it should be.
    """
    try:
        tls = Tls(certificate.read_bytes(), key.read_bytes(), None if client_ca is None else client_ca.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"{error.filename} cannot be read: {error.strerror}") from error
    # gRPC would say no more than that it cannot listen.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise InvalidArgument(
            f"{certificate} and {key} must be a certificate and its key, in PEM and without a password: {error.reason}"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise InvalidArgument(f"{client_ca} must be certificates in PEM: {error.reason}") from error
    return tls


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
