"""From the headers of a call to its principal.

A caller sends its token as `authorization: Bearer TOKEN`. Clients that know names and passwords only send them with the
handshake, as `authorization: Basic ...`: the name of the token, and the token as password. The answer is the header to
send with all other calls. It holds the same token, so that any server with the same file knows it, now and later.
"""

import base64
import hmac

from flightsrv.policy.auth.principal import ANYBODY, Principal
from flightsrv.policy.auth.tokens import TokenFile, Tokens
from flightsrv.policy.headers import Headers
from udtf.errors import UdtfError

AUTHORIZATION = "authorization"

_NEEDED = "this server requires a token, as call header `authorization: Bearer TOKEN`"


class Unauthenticated(UdtfError):
    """The caller is not known."""


class Authentication:
    """Knows callers by their tokens; without any tokens, it lets everybody in."""

    def __init__(self, tokens: TokenFile | Tokens | None) -> None:
        self._tokens = tokens

    def principal(self, headers: Headers) -> Principal:
        """The principal of a call with these headers.

        Raises:
            Unauthenticated: they have no token, or one that is not known here.
        """
        if self._tokens is None:
            return ANYBODY
        name, token = _credentials(headers)
        principal = self._tokens.find(token)
        if principal is None or not (name is None or hmac.compare_digest(name.encode(), principal.name.encode())):
            raise Unauthenticated("the token is unknown, or belongs to another name")
        return principal

    def handshake(self, headers: Headers) -> dict[str, str]:
        """The headers by which the answer to a handshake says what to send with other calls.

        Raises:
            Unauthenticated: as `principal` does, so that a wrong password is told at the handshake by any transport.
        """
        self.principal(headers)
        token = "anybody" if self._tokens is None else _credentials(headers)[1]
        return {AUTHORIZATION: f"Bearer {token}"}


def _credentials(headers: Headers) -> tuple[str | None, str]:
    """The name, if there is one, and the token."""
    values = headers.get(AUTHORIZATION)
    scheme, _, value = str(values[-1]).strip().partition(" ") if values else ("", "", "")
    match scheme.lower():
        case "bearer":
            return None, value.strip()
        case "basic":
            try:
                # Some clients leave the padding away.
                padded = value.strip() + "=" * (-len(value.strip()) % 4)
                name, _, password = base64.b64decode(padded, validate=True).decode().partition(":")
            except ValueError:
                raise Unauthenticated(_NEEDED) from None
            return name, password
    raise Unauthenticated(_NEEDED)
