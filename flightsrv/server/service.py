"""The Flight service: methods of the protocol, each a few lines that decode, hand over and encode."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import flight

from flightsrv.server import handlers
from flightsrv.server.auth.authentication import Authentication, Handshake
from flightsrv.server.auth.settings import SecuritySettings
from flightsrv.server.call import Call, Services
from flightsrv.server.errors import hide_tracebacks_from_clients
from flightsrv.server.gate import Gate
from flightsrv.server.middleware import CALL, CallMiddleware, CallMiddlewareFactory
from flightsrv.server.sessions import call_options
from flightsrv.server.streaming import stream, stream_schema
from flightsrv.server.tickets import read_ticket
from flightsrv.server.upload import Upload
from flightsrv.wire.codec import encode, pack, unpack
from flightsrv.wire.message import Message
from udtf.errors import InvalidArgument
from udtf.sql.engine import QueryCancelled


class FlightSqlService(flight.FlightServerBase):  # type: ignore[misc]
    """Listens from the moment it is made. `location` is a pair of host and port; port 0 is a free one."""

    def __init__(self, location: tuple[str, int], services: Services, gate: Gate, security: SecuritySettings) -> None:
        self._services = services
        self._gate = gate
        hide_tracebacks_from_clients()
        tls = security.tls
        super().__init__(
            location,
            auth_handler=Handshake(),
            tls_certificates=None if tls is None else [(tls.certificate, tls.key)],
            verify_client=tls is not None and tls.client_ca is not None,
            root_certificates=None if tls is None else tls.client_ca,
            middleware={CALL: CallMiddlewareFactory(gate, Authentication(security.tokens))},
        )

    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        with self._call(context) as call:
            answer = handlers.answer(call, _command(descriptor))
            # No location: the client asks where it asked before, whatever the name it knows this server by.
            endpoint = flight.FlightEndpoint(pack(answer.ticket), [])
            return flight.FlightInfo(stream_schema(answer), descriptor, [endpoint], -1, -1)

    def get_schema(self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor) -> flight.SchemaResult:
        with self._call(context) as call:
            return flight.SchemaResult(stream_schema(handlers.answer(call, _command(descriptor))))

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.GeneratorStream:
        with self._call(context) as call:
            answer = handlers.answer(call, read_ticket(ticket.ticket))
            return flight.GeneratorStream(stream_schema(answer), stream(call, answer))

    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        with self._call(context) as call:
            result = handlers.put(call, _command(descriptor), Upload(reader))
            try:
                writer.write(pa.py_buffer(encode(result)))
            except OSError as e:
                raise QueryCancelled("the client left before it was answered") from e

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> list[bytes]:
        with self._call(context) as call:
            result = handlers.act(call, action.type, action.body.to_pybytes())
            return [] if result is None else [result]

    def list_actions(self, context: flight.ServerCallContext) -> list[tuple[str, str]]:
        return [(name, action.description) for name, action in handlers.ACTIONS.items()]

    @contextmanager
    def _call(self, context: flight.ServerCallContext) -> Iterator[Call]:
        middleware: CallMiddleware = context.get_middleware(CALL)
        call = Call(
            self._services,
            principal=middleware.principal,
            peer=context.peer(),
            is_cancelled=context.is_cancelled,
            is_stopping=self._gate.is_closed,
        )
        middleware.call = call
        try:
            call.session_id = middleware.session_id
            call.options = call_options(call.session_options(), middleware.headers)
            yield call
        except Exception as e:
            raise call.failure(e) from e


def _command(descriptor: flight.FlightDescriptor) -> Message:
    if descriptor.descriptor_type != flight.DescriptorType.CMD:
        raise InvalidArgument("expected a descriptor with a Flight SQL command, given: a path")
    return unpack(descriptor.command)
