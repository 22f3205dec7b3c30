"""What a client needs for an encrypted connection."""

import os
from dataclasses import dataclass
from typing import TypeAlias

from flightsrv.client.errors import InvalidRequest

PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class Tls:
    """Files in PEM.

    Attributes:
        ca: certificates that the server's must be signed by; without it, those that the system trusts.
        certificate, key: what the client shows to a server that asks for a certificate.
    """

    ca: PathLike | None = None
    certificate: PathLike | None = None
    key: PathLike | None = None

    def options(self) -> dict[str, bytes]:
        """The arguments by which pyarrow takes them.

        Raises:
            InvalidRequest: a file cannot be read, or there is a certificate without a key.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequest("the certificate of a client and its key go together: give both")
        files = {"tls_root_certs": self.ca, "cert_chain": self.certificate, "private_key": self.key}
        return {name: _read(path) for name, path in files.items() if path is not None}


def _read(path: PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidRequest(f"{error.filename} cannot be read: {error.strerror}") from error
