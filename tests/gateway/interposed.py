"""A Flight server before a real one, which answers everything but traces: those follow a script."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyarrow import flight

from flightsrv.wire.codec import unpack
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery
from tests.client.fake_server import Chunk, Failure, FakeServer, Message, Wait


@dataclass
class Interposed(FakeServer):
    """Plays its script for whoever asks for a trace, until it is healed."""

    server_url: str = ""
    port_to_take: int = 0
    is_healed: bool = False

    def __post_init__(self) -> None:
        flight.FlightServerBase.__init__(self, f"grpc://127.0.0.1:{self.port_to_take}")
        self._server = flight.connect(self.server_url)

    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        command = unpack(descriptor.command)
        is_trace = isinstance(command, CommandStatementQuery) and "perfetto_trace_chunks" in command.query
        if is_trace and not self.is_healed:
            return super().get_flight_info(context, descriptor)
        return self._server.get_flight_info(descriptor)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        if ticket.ticket == b"trace":
            return super().do_get(context, ticket)
        return flight.RecordBatchStream(self._server.do_get(ticket).read_all())

    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        sink, answers = self._server.do_put(descriptor, reader.schema)
        with sink:
            sink.write_table(reader.read_all())
            sink.done_writing()
            answer = answers.read()
        if answer is not None:
            writer.write(answer)

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> Iterator[flight.Result]:
        return iter(list(self._server.do_action(action)))


@contextmanager
def interposed(server_url: str, *script: Chunk | Message | Failure | Wait, port: int = 0) -> Iterator[Interposed]:
    """A server with this script before that one, in this process."""
    server = Interposed(script, server_url=server_url, port_to_take=port)
    try:
        yield server
    finally:
        server.abandoned.set()
        server.shutdown()
