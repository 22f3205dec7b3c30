"""What happens around every RPC: who makes it, the gate, its headers, its end, and a status if it failed."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import grpc

from flightsrv.flight.call import Call, Services
from flightsrv.flight.connections import ConnectionWatch
from flightsrv.flight.errors import Status, status_of
from flightsrv.flight.stalls import StallWatch
from flightsrv.policy.auth.authentication import Authentication
from flightsrv.policy.gate import Gate
from flightsrv.policy.headers import Headers
from flightsrv.policy.sessions import call_options, session_id_in
from udtf.errors import InvalidArgument, LimitExceeded, UdtfError
from udtf.execution.cancellation import QueryCancelled

Messages: TypeAlias = Generator[bytes, None, None]
"""Encoded messages of an answer, made as they are sent."""


@dataclass(frozen=True)
class Rpc:
    """An RPC that was let in.

    Attributes:
        requests: the messages of the client as they arrive; they can be read once. If the client leaves before their
            end, they raise an error, which is its status.
    """

    call: Call
    headers: Headers
    requests: Iterator[bytes]
    context: grpc.ServicerContext
    stalls: StallWatch

    def request(self) -> bytes:
        """The only message of the client.

        Raises:
            InvalidArgument: there is none.
        """
        request = next(self.requests, None)
        if request is None:
            raise InvalidArgument("expected a message, nothing was sent")
        return request

    def send(self, messages: Messages) -> Messages:
        """Messages on their way to the client: it is waited for while it has not taken one."""
        with closing(messages):
            for message in messages:
                with self.stalls.waiting(self.call, self.context):
                    yield message

    def send_headers(self, headers: Mapping[str, str]) -> None:
        """Send headers before anything else of the answer."""
        self.context.send_initial_metadata(tuple(headers.items()))


class Reception:
    """Lets RPCs in and sees them out."""

    def __init__(
        self,
        services: Services,
        gate: Gate,
        authentication: Authentication,
        stalls: StallWatch,
        connections: ConnectionWatch,
    ) -> None:
        self._connections = connections
        self._services = services
        self._gate = gate
        self._stalls = stalls
        self._authentication = authentication

    @contextmanager
    def receive(self, requests: Iterator[bytes], context: grpc.ServicerContext, max_bytes: int) -> Iterator[Rpc]:
        """An RPC for the length of a `with` block. What is raised there becomes its status.

        Nothing is read of a client that nobody knows, and no message of more than `max_bytes` is looked into.
        """
        try:
            with self._received_rpc(requests, context, max_bytes) as rpc, self._connections.used(context.peer()):
                yield rpc
        finally:
            if not context.is_active():
                self._connections.left(context.peer())

    @contextmanager
    def _received_rpc(self, requests: Iterator[bytes], context: grpc.ServicerContext, max_bytes: int) -> Iterator[Rpc]:
        if not context.is_active():
            _abort(context, status_of(QueryCancelled("the client has left"), ""))
        headers = _headers(context)
        try:
            principal = self._authentication.principal(headers)
            self._gate.enter()
        except UdtfError as error:
            _abort(context, status_of(error, ""))
        call = Call(
            self._services,
            principal=principal,
            peer=context.peer(),
            is_cancelled=lambda: not context.is_active(),
            is_stopping=self._gate.is_closed,
        )
        try:
            call.session_id = session_id_in(headers) or ""
            call.options = call_options(call.session_options(), headers)
            yield Rpc(call, headers, self._received(requests, call, context, max_bytes), context, self._stalls)
        except GeneratorExit:
            call.leave()
            raise
        except grpc.RpcError:
            _abort(context, call.failure(QueryCancelled("the client has left")))
        except BaseException as error:
            # Also what is no Exception, such as a panic: gRPC would leave the client without an answer for ever.
            _abort(context, call.failure(error))
        finally:
            call.finish()
            self._gate.leave()

    def _received(
        self, requests: Iterator[bytes], call: Call, context: grpc.ServicerContext, max_bytes: int
    ) -> Iterator[bytes]:
        while True:
            with self._stalls.waiting(call, context):
                request = next(requests, None)
            if request is None:
                break
            if len(request) > max_bytes:
                raise LimitExceeded(f"a message has {len(request)} bytes, this one may have {max_bytes}")
            yield request
        # For gRPC, that is an end of them as well.
        if not context.is_active():
            raise QueryCancelled("the client left before it had sent all")


def _headers(context: grpc.ServicerContext) -> Headers:
    headers: dict[str, list[str | bytes]] = {}
    for name, value in context.invocation_metadata():
        headers.setdefault(name, []).append(value)
    return headers


def _abort(context: grpc.ServicerContext, status: Status) -> NoReturn:
    context.abort(status.code, status.message)
