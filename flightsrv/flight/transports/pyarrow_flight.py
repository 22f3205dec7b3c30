"""Flight by `pyarrow.flight`: the same answers, from the library that most examples of Flight use.

What it cannot do, and why `grpcio` is the default, is in `docs/architecture.md`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import flight

from flightsrv.flight.call import Call
from flightsrv.flight.calls import Calls
from flightsrv.flight.errors import Code, Status
from flightsrv.flight.service import FlightService
from flightsrv.flight.transports.transport import TransportSettings
from flightsrv.flight.upload import MAX_ROWS
from flightsrv.policy.headers import Headers
from flightsrv.policy.limits import MAX_MESSAGE_BYTES
from flightsrv.policy.sessions import new_session_id, session_cookie, session_id_in
from flightsrv.wire.codec import decode
from flightsrv.wire.flight_pb2 import Action, FlightDescriptor, Ticket
from udtf.arrow.messages import MessageGuard, check_names
from udtf.arrow.plain_types import check_readable
from udtf.errors import InvalidArgument, UdtfError

_ERRORS: Mapping[Code, type[Exception]] = {
    Code.CANCELLED: flight.FlightCancelledError,
    Code.DEADLINE_EXCEEDED: flight.FlightTimedOutError,
    Code.UNAUTHENTICATED: flight.FlightUnauthenticatedError,
    Code.PERMISSION_DENIED: flight.FlightUnauthorizedError,
    Code.UNAVAILABLE: flight.FlightUnavailableError,
    Code.INTERNAL: flight.FlightInternalError,
    Code.UNIMPLEMENTED: pa.ArrowNotImplementedError,
    Code.NOT_FOUND: pa.ArrowKeyError,
    Code.INVALID_ARGUMENT: pa.ArrowInvalid,
    # The library has no names for these.
    Code.ALREADY_EXISTS: pa.ArrowInvalid,
    Code.RESOURCE_EXHAUSTED: pa.ArrowInvalid,
}
"""What the library makes a status of."""

_MIDDLEWARE = "headers"


class PyarrowTransport:
    """A server of `pyarrow.flight` that listens, from the moment it is made until `stop`."""

    def __init__(self, service: FlightService, calls: Calls, settings: TransportSettings) -> None:
        """Raises InvalidArgument where the address cannot be listened on."""
        name, tls = f"{settings.address.host_in_url}:{settings.address.port}", settings.tls
        options: dict[str, Any] = {}
        if tls is not None:
            options["tls_certificates"] = [(tls.certificate, tls.key)]
            if tls.client_ca is not None:
                options |= {"verify_client": True, "root_certificates": tls.client_ca}
        try:
            self._server = _Server(service, calls, f"{'grpc' if tls is None else 'grpc+tls'}://{name}", options)
        except (pa.ArrowException, OSError) as e:
            raise InvalidArgument(f"cannot listen on {name}; the port may be taken") from e
        self.port: int = self._server.port

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, and wait for those under way."""
        self._server.shutdown()
        self._server.wait()


class _HeadersOfCall(flight.ServerMiddleware):  # type: ignore[misc]
    """The headers that a call came with, and those of its answer."""

    def __init__(self, headers: Headers, reply: Mapping[str, str]) -> None:
        self.headers = headers
        self._reply = reply

    def sending_headers(self) -> dict[str, str]:
        return dict(self._reply)


class _HeaderFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """The library sends headers before a call is answered, so what is in them is settled here."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def start_call(self, info: flight.CallInfo, headers: Headers) -> _HeadersOfCall:
        reply: Mapping[str, str] = {}
        if info.method == flight.FlightMethod.HANDSHAKE:
            try:
                reply = self._calls.authentication.handshake(headers)
            except UdtfError as error:
                raise flight.FlightUnauthenticatedError(str(error)) from None
        elif info.method == flight.FlightMethod.DO_ACTION and session_id_in(headers) is None:
            reply = session_cookie(new_session_id())
            headers = {**headers, "cookie": [*headers.get("cookie", ()), reply["set-cookie"].partition(";")[0]]}
        return _HeadersOfCall(headers, reply)


class _NoHandshake(flight.ServerAuthHandler):  # type: ignore[misc]
    """Without one, the library answers no handshake; the caller is known by headers."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        pass

    def is_valid(self, token: bytes) -> bytes:
        return b""


class _Server(flight.FlightServerBase):  # type: ignore[misc]
    def __init__(self, service: FlightService, calls: Calls, location: str, options: Mapping[str, Any]) -> None:
        self._service = service
        self._calls = calls
        super().__init__(
            location, auth_handler=_NoHandshake(), middleware={_MIDDLEWARE: _HeaderFactory(calls)}, **options
        )

    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        with self._call(context) as call:
            info = self._service.get_flight_info(call, decode(FlightDescriptor, descriptor.serialize()))
            return flight.FlightInfo.deserialize(info.SerializeToString())

    def get_schema(self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor) -> flight.SchemaResult:
        with self._call(context) as call:
            result = self._service.get_schema(call, decode(FlightDescriptor, descriptor.serialize()))
            return flight.SchemaResult(pa.ipc.read_schema(pa.py_buffer(result.schema)))

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.GeneratorStream:
        items = self._rows(context, ticket.ticket)
        return flight.GeneratorStream(next(items), items)

    def _rows(self, context: flight.ServerCallContext, ticket: bytes) -> Generator[Any, None, None]:
        """The schema, then the rows: the call lasts as long as they do, or until the library drops them."""
        with self._call(context) as call:
            schema, rows = self._service.do_get(call, Ticket(ticket=ticket))
            yield schema
            with closing(rows):
                yield from rows

    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        with self._call(context) as call:
            result = self._service.do_put(call, _ReaderUpload(descriptor, reader))
            writer.write(pa.py_buffer(result.app_metadata))

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> Sequence[bytes]:
        with self._call(context) as call:
            result = self._service.do_action(call, Action(type=action.type, body=action.body.to_pybytes()))
            return [] if result is None else [result.body]

    def list_actions(self, context: flight.ServerCallContext) -> list[tuple[str, str]]:
        with self._call(context):
            return [(action.type, action.description) for action in self._service.list_actions()]

    def list_flights(self, context: flight.ServerCallContext, criteria: bytes) -> NoReturn:
        with self._call(context):
            self._service.list_flights()

    def do_exchange(self, context: flight.ServerCallContext, *_: Any) -> NoReturn:
        with self._call(context):
            self._service.do_exchange()

    def _call(self, context: flight.ServerCallContext) -> AbstractContextManager[Call]:
        headers = context.get_middleware(_MIDDLEWARE).headers
        return self._calls.call(headers, context.peer(), context.is_cancelled, _abort)


class _ReaderUpload:
    """An upload as the library reads it: already decompressed."""

    def __init__(self, descriptor: flight.FlightDescriptor, reader: flight.MetadataRecordBatchReader) -> None:
        self.descriptor: FlightDescriptor | None = decode(FlightDescriptor, descriptor.serialize())
        self._reader = reader

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `Upload`."""
        guard = MessageGuard(MAX_MESSAGE_BYTES, MAX_ROWS)
        try:
            check_names(self._reader.schema)
            check_readable(self._reader.schema)
            for chunk in self._reader:
                if chunk.data is not None:
                    chunk.data.validate(full=True)
                    guard.check_rows(chunk.data)
                    yield chunk.data
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            raise InvalidArgument("the upload is not a valid stream of Arrow record batches") from e


def _abort(status: Status) -> NoReturn:
    raise _ERRORS[status.code](status.message) from None
