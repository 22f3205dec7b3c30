"""Flight and OTLP by grpcio: address, encryption, threads, how large and how often messages may be, and how RPCs are
answered.

To gRPC a message is bytes, which are ours to read and to write.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status as StatusMessage

from flightsrv.flight.call import Call
from flightsrv.flight.calls import Calls, ClientLeft
from flightsrv.flight.errors import Status
from flightsrv.flight.service import FlightService
from flightsrv.flight.transports.connections import ConnectionWatch
from flightsrv.flight.transports.stalls import StallWatch
from flightsrv.flight.transports.transport import Exporter, TransportSettings
from flightsrv.flight.upload import MessageUpload
from flightsrv.policy.auth.settings import Tls
from flightsrv.policy.connections import BEGIN_TIMEOUT_S, SLACK
from flightsrv.policy.headers import Headers
from flightsrv.policy.limits import MAX_MESSAGE_BYTES, CallLimits
from flightsrv.policy.sessions import new_session_id, session_cookie
from flightsrv.wire.codec import decode
from flightsrv.wire.flight_data import encode_rows
from flightsrv.wire.flight_pb2 import Action, FlightDescriptor, HandshakeResponse, Ticket
from udtf.errors import InvalidArgument, LimitExceeded
from udtf.execution.cancellation import QueryCancelled

NAME = "arrow.flight.protocol.FlightService"

Messages: TypeAlias = Generator[bytes, None, None]
"""Encoded messages of an answer, made as they are sent."""

MAX_CALLS_OF_CONNECTION = 128

OPTIONS: Sequence[tuple[str, int]] = (
    # Batches are sliced, but for a row that is larger than a slice.
    ("grpc.max_send_message_length", -1),
    # Clients may ask in a long silence whether the server is there. By default, gRPC breaks the connection of one that
    # does so more often than every five minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server asks as well, so that the work for a client whose machine is gone ends. It waits for the answer, and
    # for anything at all: both times count.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 30_000),
    # A connection that says nothing, or no HTTP/2, is closed.
    ("grpc.server_handshake_timeout_ms", round(BEGIN_TIMEOUT_S * 1e3)),
    ("grpc.http2.settings_timeout", round(BEGIN_TIMEOUT_S * 1e3)),
    # Calls of one connection beyond these wait at the client.
    ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
)

RETRY_AFTER_S = 1
"""When those who export may try again what failed for the moment."""

REFUSING_THREADS = 8
"""For calls beyond those that are answered: they must be told so."""


class GrpcTransport:
    """A gRPC server that listens, from the moment it is made until `stop`."""

    def __init__(
        self, calls: Calls, settings: TransportSettings, service: FlightService | None, exporter: Exporter
    ) -> None:
        """Without a `service`, for exports alone. Raises InvalidArgument where the address cannot be listened on."""
        limits, connections = settings.calls, settings.connections
        self._stalls = StallWatch(limits.max_stall_s)
        self._connections = ConnectionWatch(connections)
        self._threads = ThreadPoolExecutor(limits.max_calls + REFUSING_THREADS, thread_name_prefix="rpc")
        # Calls beyond the first number wait for a moment to be refused by the service. Those beyond the second, gRPC
        # refuses without a thread.
        rpcs = _Rpcs(calls, limits, self._stalls, self._connections)
        handlers = [
            _export_handler(rpcs, exporter, *service_and_signal) for service_and_signal in exporter.services.items()
        ]
        self._server = grpc.server(
            self._threads,
            handlers=handlers if service is None else [_Flight(rpcs, service).handler(), *handlers],
            options=[
                *OPTIONS,
                # Where it is not wanted, the system would let a second server listen on the same port, and each would
                # get a part of the calls.
                ("grpc.so_reuseport", int(settings.is_shared)),
                ("grpc.max_receive_message_length", exporter.max_bytes if service is None else MAX_MESSAGE_BYTES),
                ("grpc.max_connection_idle_ms", round(connections.max_idle_s * 1e3)),
                # Those beyond the limit, there is a choice which of them to close (`connections`).
                ("grpc.max_allowed_incoming_connections", connections.max_connections + SLACK),
            ],
            maximum_concurrent_rpcs=2 * limits.max_calls + REFUSING_THREADS,
        )
        name = f"{settings.address.host_in_url}:{settings.address.port}"
        try:
            if settings.tls is None:
                self.port = self._server.add_insecure_port(name)
            else:
                self.port = self._server.add_secure_port(name, _credentials(settings.tls))
            if settings.private_socket is not None:
                self._server.add_insecure_port(f"unix:{settings.private_socket}")
        except RuntimeError as e:
            self._stalls.close()
            raise InvalidArgument(f"cannot listen on {name}; the port may be taken") from e
        self._server.start()
        self._connections.start(self.port)

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those under way after a while at the latest."""
        self._server.stop(grace_s).wait()
        self._threads.shutdown()
        self._stalls.close()
        self._connections.close()


@dataclass(frozen=True)
class _Rpc:
    """An RPC that was let in.

    Attributes:
        requests: the messages of the client as they arrive; they can be read once. If the client leaves before their
            end, they raise an error, which is its status.
    """

    call: Call
    headers: Headers
    requests: Iterator[bytes]
    context: grpc.ServicerContext

    def request(self) -> bytes:
        """The only message of the client.

        Raises:
            InvalidArgument: there is none.
        """
        request = next(self.requests, None)
        if request is None:
            raise InvalidArgument("expected a message, nothing was sent")
        return request

    def send_headers(self, headers: Mapping[str, str]) -> None:
        """Send headers before anything else of the answer."""
        self.context.send_initial_metadata(tuple(headers.items()))


class _Flight:
    """The methods of the service as gRPC takes them; those that are not in it are UNIMPLEMENTED."""

    def __init__(self, rpcs: "_Rpcs", service: FlightService) -> None:
        self._rpcs = rpcs
        self._service = service

    def handler(self) -> grpc.GenericRpcHandler:
        limits, answering = self._rpcs.limits, self._rpcs.answering
        rpcs = {
            "GetFlightInfo": self._describing(self._service.get_flight_info),
            "PollFlightInfo": self._describing(self._service.poll_flight_info),
            "GetSchema": self._describing(self._service.get_schema),
            "Handshake": answering(self._handshake, limits.max_request_bytes),
            "ListFlights": answering(lambda rpc: self._service.list_flights(), limits.max_request_bytes),
            "DoGet": answering(self._do_get, limits.max_ticket_bytes),
            "DoPut": answering(self._do_put, MAX_MESSAGE_BYTES),
            "DoExchange": answering(lambda rpc: self._service.do_exchange(), limits.max_request_bytes),
            "DoAction": answering(self._do_action, limits.max_info_bytes),
            "ListActions": answering(self._list_actions, limits.max_request_bytes),
        }
        return grpc.method_handlers_generic_handler(NAME, rpcs)

    def _describing(
        self, describe: Callable[[Call, FlightDescriptor], Message]
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return self._rpcs.answering_once(
            lambda rpc: describe(rpc.call, decode(FlightDescriptor, rpc.request())).SerializeToString(),
            self._rpcs.limits.max_request_bytes,
        )

    def _handshake(self, rpc: _Rpc) -> Messages:
        """Tell what to send with other calls, in headers and trailers, since clients look in either.

        Headers name the caller as well, whatever the messages say; a client that sends some waits for answers.
        """
        headers = self._rpcs.calls.authentication.handshake(rpc.headers)
        rpc.send_headers(headers)
        rpc.context.set_trailing_metadata(tuple(headers.items()))
        for _ in rpc.requests:
            yield HandshakeResponse().SerializeToString()

    def _do_get(self, rpc: _Rpc) -> Messages:
        schema, rows = self._service.do_get(rpc.call, decode(Ticket, rpc.request()))
        with closing(rows):
            yield from encode_rows(schema, rows)

    def _do_put(self, rpc: _Rpc) -> Messages:
        yield self._service.do_put(rpc.call, MessageUpload(rpc.requests)).SerializeToString()

    def _do_action(self, rpc: _Rpc) -> Messages:
        """A client without a session gets one."""
        if not rpc.call.session_id:
            rpc.call.session_id = new_session_id()
            rpc.send_headers(session_cookie(rpc.call.session_id))
        result = self._service.do_action(rpc.call, decode(Action, rpc.request()))
        if result is not None:
            yield result.SerializeToString()

    def _list_actions(self, rpc: _Rpc) -> Messages:
        for action in self._service.list_actions():
            yield action.SerializeToString()


def _export_handler(rpcs: "_Rpcs", exporter: Exporter, service: str, signal: str) -> grpc.GenericRpcHandler:
    """The service of a signal of OTLP."""
    export = rpcs.answering_once(
        lambda rpc: exporter.export(rpc.call, signal, rpc.request()), exporter.max_bytes, tells_when_to_retry=True
    )
    return grpc.method_handlers_generic_handler(service, {"Export": export})


class _Rpcs:
    """How RPCs of any service are let in and answered.

    Requests are a stream to gRPC, so that none is read before the caller is authenticated.
    """

    def __init__(self, calls: Calls, limits: CallLimits, stalls: StallWatch, connections: ConnectionWatch) -> None:
        self.calls = calls
        self.limits = limits
        self._stalls = stalls
        self._connections = connections

    def answering_once(
        self, answer: Callable[[_Rpc], bytes], max_bytes: int, *, tells_when_to_retry: bool = False
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """A method with one answer, whose requests have at most so many bytes each."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            with self._received(requests, context, max_bytes, tells_when_to_retry) as rpc:
                return answer(rpc)

        return grpc.stream_unary_rpc_method_handler(behavior)

    def answering(self, answer: Callable[[_Rpc], Messages], max_bytes: int) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """A method with any number of answers, whose requests have at most so many bytes each."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Messages:
            with self._received(requests, context, max_bytes) as rpc, closing(answer(rpc)) as messages:
                for message in messages:
                    with self._stalls.waiting(rpc.call, context):
                        yield message

        return grpc.stream_stream_rpc_method_handler(behavior)

    @contextmanager
    def _received(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        max_bytes: int,
        tells_when_to_retry: bool = False,
    ) -> Iterator[_Rpc]:
        """An RPC for the length of a `with` block. What is raised there becomes its status.

        Nothing is read of a client that is not known, and no message of more than `max_bytes` is looked into.
        """

        def abort(status: Status) -> NoReturn:
            if tells_when_to_retry and status.is_transient:
                context.set_trailing_metadata((("grpc-status-details-bin", _retry_details(status)),))
            context.abort(grpc.StatusCode[status.code.name], status.message)

        headers = _headers(context)
        try:
            with (
                self.calls.call(headers, context.peer(), lambda: not context.is_active(), abort) as call,
                self._connections.used(context.peer()),
            ):
                try:
                    yield _Rpc(call, headers, self._messages(requests, call, context, max_bytes), context)
                except grpc.RpcError as error:
                    raise ClientLeft from error
        finally:
            if not context.is_active():
                self._connections.left(context.peer())

    def _messages(
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


def _retry_details(status: Status) -> bytes:
    """The status once more, as a message that says when to try again."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    code, _ = grpc.StatusCode[status.code.name].value
    encoded: bytes = StatusMessage(code=code, message=status.message, details=[detail]).SerializeToString()
    return encoded


def _headers(context: grpc.ServicerContext) -> Headers:
    headers: dict[str, list[str | bytes]] = {}
    for name, value in context.invocation_metadata():
        headers.setdefault(name, []).append(value)
    return headers


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)], tls.client_ca, require_client_auth=tls.client_ca is not None
    )
