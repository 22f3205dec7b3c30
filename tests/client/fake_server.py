"""A Flight server that answers trace queries from a script, for what a healthy server never does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import flight

from flightsrv.wire.codec import unpack
from flightsrv.wire.flight_sql_pb2 import CommandGetSqlInfo, CommandStatementQuery

CHUNKS = pa.schema(
    [pa.field("chunk_id", pa.int32(), nullable=False), pa.field("chunk_data", pa.binary(), nullable=False)]
)


@dataclass(frozen=True)
class Chunk:
    """A row of a trace."""

    chunk_id: int
    data: bytes


@dataclass(frozen=True)
class Message:
    """What a server says between rows."""

    content: dict[str, object]


@dataclass(frozen=True)
class Failure:
    """The end of a stream that breaks."""

    error: Exception


@dataclass(frozen=True)
class Wait:
    """The stream stops here until the client goes away."""


@dataclass
class FakeServer(flight.FlightServerBase):
    """Streams the script; keeps what it was asked with, and notes when a client gives up."""

    script: tuple[Chunk | Message | Failure | Wait, ...]
    queries: list[str] = field(default_factory=list)
    headers: list[dict[str, list[str]]] = field(default_factory=list)
    waiting: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__("grpc://127.0.0.1:0", middleware={"headers": _KeepHeaders(self.headers)})

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        command = unpack(descriptor.command)
        if isinstance(command, CommandGetSqlInfo):
            raise NotImplementedError("this server has no SqlInfo")
        assert isinstance(command, CommandStatementQuery)
        self.queries.append(command.query)
        return flight.FlightInfo(CHUNKS, descriptor, [flight.FlightEndpoint(b"trace", [])], -1, -1)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.GeneratorStream:
        return flight.GeneratorStream(CHUNKS, self._stream(context))

    def _stream(self, context: flight.ServerCallContext) -> Iterator[object]:
        for item in self.script:
            match item:
                case Chunk(chunk_id, data):
                    yield pa.record_batch([pa.array([chunk_id], pa.int32()), pa.array([data])], schema=CHUNKS)
                case Message(content):
                    yield pa.RecordBatch.from_pylist([], CHUNKS), json.dumps(content).encode()
                case Failure(error):
                    raise error
                case Wait():
                    self.waiting.set()
                    while not context.is_cancelled():
                        self.abandoned.wait(0.01)
                    self.abandoned.set()


class _KeepHeaders(flight.ServerMiddlewareFactory):
    def __init__(self, kept: list[dict[str, list[str]]]) -> None:
        self._kept = kept

    def start_call(self, info: flight.CallInfo, headers: dict[str, list[str]]) -> None:
        self._kept.append(headers)


@contextmanager
def serving(*script: Chunk | Message | Failure | Wait) -> Iterator[FakeServer]:
    """A server with this script, in this process."""
    server = FakeServer(script)
    try:
        yield server
    finally:
        server.abandoned.set()
        server.shutdown()
