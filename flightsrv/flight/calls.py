"""What happens around every call: its caller, admission, its headers, its end, and a status if it failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeAlias

from flightsrv.flight.call import Call, Services
from flightsrv.flight.errors import Status, status_of
from flightsrv.policy.auth.authentication import Authentication
from flightsrv.policy.gate import Gate
from flightsrv.policy.headers import Headers
from flightsrv.policy.sessions import call_options, session_id_in
from udtf.errors import UdtfError
from udtf.execution.cancellation import QueryCancelled

Abort: TypeAlias = Callable[[Status], NoReturn]
"""Ends a call with a status, by an exception of the transport's own."""


class ClientLeft(Exception):
    """A transport found that its client has left, in a way of its own."""


class Calls:
    """Lets calls in and sees them out."""

    def __init__(self, services: Services, gate: Gate, authentication: Authentication) -> None:
        self.authentication = authentication
        self._services = services
        self._gate = gate

    @contextmanager
    def call(self, headers: Headers, peer: str, is_left: Callable[[], bool], abort: Abort) -> Iterator[Call]:
        """A call for the length of a `with` block. What is raised there becomes its status.

        Args:
            headers: those that it came with.
            peer: where it came from.
            is_left: whether the client has gone; asked while the call lasts, from any thread.
        """
        if is_left():
            abort(status_of(QueryCancelled("the client has left"), ""))
        try:
            principal = self.authentication.principal(headers)
            self._gate.enter()
        except UdtfError as error:
            abort(status_of(error, ""))
        call = Call(
            self._services, principal=principal, peer=peer, is_cancelled=is_left, is_stopping=self._gate.is_closed
        )
        try:
            call.session_id = session_id_in(headers) or ""
            call.options = call_options(call.session_options(), headers)
            yield call
        except GeneratorExit:
            call.leave()
            raise
        except ClientLeft:
            abort(call.failure(QueryCancelled("the client has left")))
        except BaseException as error:
            # Also what is no Exception, such as a panic: the transport would leave the client without an answer.
            abort(call.failure(error))
        finally:
            call.finish()
            self._gate.leave()
