"""The service as gRPC has it: bytes in, bytes out, and statuses as they are."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import pyarrow as pa
from google.protobuf.message import Message

from flightsrv.flight.transports.grpcio import NAME
from flightsrv.wire.codec import decode, pack
from flightsrv.wire.flight_data import encode_rows
from flightsrv.wire.flight_pb2 import Action, FlightData, FlightDescriptor, Ticket

RPCS = (
    "Handshake",
    "ListFlights",
    "GetFlightInfo",
    "PollFlightInfo",
    "GetSchema",
    "DoGet",
    "DoPut",
    "DoExchange",
    "DoAction",
    "ListActions",
)
TIMEOUT_S = 60.0


class RawClient:
    """Calls RPCs by their names."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def call(self, rpc: str, *requests: bytes, headers: Mapping[str, str] | None = None, **options: Any) -> list[bytes]:
        """The answers to these messages.

        Raises:
            grpc.RpcError: with the status.
        """
        return list(self.start(rpc, requests, headers=headers, **options))

    def start(
        self, rpc: str, requests: Iterable[bytes], *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Any:
        """A call that goes on."""
        method: Any = self._channel.stream_stream(f"/{NAME}/{rpc}")
        return method(iter(requests), metadata=tuple((headers or {}).items()), **{"timeout": TIMEOUT_S, **options})


@contextmanager
def raw_client(url: str, **options: int) -> Iterator[RawClient]:
    """A client of a server at `grpc://host:port`; options are those of channels, with `_` for the dot after `grpc`."""
    arguments = [(f"grpc.{name}", value) for name, value in options.items()]
    with grpc.insecure_channel(url.removeprefix("grpc://"), options=arguments) as channel:
        yield RawClient(channel)


def descriptor(command: Message) -> FlightDescriptor:
    return FlightDescriptor(type=FlightDescriptor.CMD, cmd=pack(command))


def ticket(command: Message) -> bytes:
    return Ticket(ticket=pack(command)).SerializeToString()


def action(name: str, body: bytes) -> bytes:
    return Action(type=name, body=body).SerializeToString()


def upload(command: Message, *batches: pa.RecordBatch, schema: pa.Schema | None = None) -> list[bytes]:
    """The messages of a DoPut."""
    messages = [decode(FlightData, data) for data in encode_rows(schema or batches[0].schema, batches)]
    return with_descriptor(descriptor(command), messages)


def with_descriptor(wanted: FlightDescriptor, messages: Iterable[FlightData]) -> list[bytes]:
    """The messages of a DoPut, the first of which gets a descriptor."""
    first, *others = messages
    described = FlightData(
        flight_descriptor=wanted,
        data_header=first.data_header,
        app_metadata=first.app_metadata,
        data_body=first.data_body,
    )
    return [message.SerializeToString() for message in (described, *others)]
