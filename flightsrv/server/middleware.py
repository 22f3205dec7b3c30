"""What happens around every call: who makes it, the gate, the call headers, the session's cookie, and its end."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyarrow import flight

from flightsrv.server.auth.authentication import Authentication, Unauthenticated
from flightsrv.server.auth.principal import Principal
from flightsrv.server.errors import Draining, to_flight_error
from flightsrv.server.gate import Gate
from flightsrv.server.headers import Headers
from flightsrv.server.sessions import COOKIE, new_session_id, session_id_in

if TYPE_CHECKING:
    from flightsrv.server.call import Call

CALL = "call"
"""The name by which methods of the service find the middleware of their call."""


class CallMiddleware(flight.ServerMiddleware):  # type: ignore[misc]
    """Lives as long as one call, streaming included."""

    def __init__(
        self,
        gate: Gate,
        headers: Headers,
        principal: Principal,
        answer_headers: Mapping[str, str],
        *,
        may_begin_session: bool,
    ) -> None:
        self._gate = gate
        self.principal = principal
        self.headers = headers
        self.session_id = session_id_in(headers) or ""
        self._answer_headers = dict(answer_headers)
        if may_begin_session and not self.session_id:
            self.session_id = new_session_id()
            self._answer_headers["set-cookie"] = f"{COOKIE}={self.session_id}; Path=/"
        self.call: Call | None = None

    def sending_headers(self) -> dict[str, str]:
        """Called by Flight before the method of the call."""
        return self._answer_headers

    def call_completed(self, exception: Exception | None) -> None:
        """Called by Flight at the end of the call, however it ended."""
        if self.call is not None:
            self.call.finish()
        self._gate.leave()


class CallMiddlewareFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Makes the middleware of each call."""

    def __init__(self, gate: Gate, authentication: Authentication) -> None:
        self._gate = gate
        self._authentication = authentication

    def start_call(self, info: flight.CallInfo, headers: Headers) -> CallMiddleware:
        try:
            principal = self._authentication.principal(headers)
            is_handshake = info.method == flight.FlightMethod.HANDSHAKE
            answer_headers = self._authentication.handshake(headers) if is_handshake else {}
            self._gate.enter()
        except (Unauthenticated, Draining) as e:
            raise to_flight_error(e, "") from e
        return CallMiddleware(
            self._gate,
            headers,
            principal,
            answer_headers,
            may_begin_session=info.method == flight.FlightMethod.DO_ACTION,
        )
