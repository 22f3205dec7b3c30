"""What happens around every call: the gate, the call headers, and the end of the call."""

from typing import TYPE_CHECKING

from pyarrow import flight

from flightsrv.server.errors import Draining, client_message
from flightsrv.server.gate import Gate
from flightsrv.server.headers import CallOptions, Headers, read_options

if TYPE_CHECKING:
    from flightsrv.server.call import Call

CALL = "call"
"""The name by which methods of the service find the middleware of their call."""


class CallMiddleware(flight.ServerMiddleware):  # type: ignore[misc]
    """Lives as long as one call, streaming included."""

    def __init__(self, gate: Gate, headers: Headers) -> None:
        self._gate = gate
        self._headers = headers
        self.call: Call | None = None

    def options(self) -> CallOptions:
        """The options in the call headers. Raises InvalidArgument where they cannot be read."""
        return read_options(self._headers)

    def call_completed(self, exception: Exception | None) -> None:
        """Called by Flight at the end of the call, however it ended."""
        if self.call is not None:
            self.call.finish()
        self._gate.leave()


class CallMiddlewareFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Makes the middleware of each call."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def start_call(self, info: flight.CallInfo, headers: Headers) -> CallMiddleware:
        try:
            self._gate.enter()
        except Draining as e:
            raise flight.FlightUnavailableError(client_message(e)) from e
        return CallMiddleware(self._gate, headers)
