"""Rows that come in other ways than most: coded, compressed, in many messages; and such as would take all memory."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.protobuf.message import Message

from flightsrv.flight.upload import MAX_ROWS
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_pb2 import FlightData, PutResult, Result
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    DoPutUpdateResult,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.server.clients import PyarrowClient
from tests.server.raw import RawClient, action, descriptor, raw_client, ticket, with_descriptor
from tests.server.telemetry import Recording
from tests.support.memory import peak_growth_bytes

MIB = 1 << 20
PROCESSES = CommandStatementIngest(table="processes")


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawClient]:
    """Of the real server."""
    with raw_client(server.url) as connected:
        yield connected


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    """A stream of batches as Arrow writes it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def uploaded(command: Message, data: bytes) -> list[bytes]:
    """The messages of a DoPut with a stream."""
    messages = [
        FlightData(
            data_header=message.metadata.to_pybytes(),
            data_body=message.body.to_pybytes(),
        )
        for message in pa.ipc.MessageReader.open_stream(data)
    ]
    return with_descriptor(descriptor(command), messages)


def ingested(client: RawClient, *requests: bytes) -> int:
    (answer,) = client.call("DoPut", *requests)
    return decode(DoPutUpdateResult, decode(PutResult, answer).app_metadata).record_count


def coded(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """The batch with a dictionary for a column."""
    position = batch.schema.names.index(name)
    return batch.set_column(position, name, batch.column(name).dictionary_encode())


# ---- What is taken


@pytest.mark.parametrize(
    "options", [{}, {"compression": "lz4"}, {"compression": "zstd"}, {"emit_dictionary_deltas": True}], ids=str
)
def test_dictionaries_may_change_from_one_batch_to_the_next(
    client: RawClient, server: RunningServer, options: dict[str, Any]
) -> None:
    """By others in their place, or by what comes on top."""
    recordings = [Recording() for _ in range(4)]
    ids = [recording.process_id for recording in recordings]
    names = pa.chunked_array([pa.array([f"program {number}"]) for number in range(4)])
    batches = []
    for number, recording in enumerate(recordings):
        batch = coded(recording.processes, "process_id")
        dictionary = pa.concat_arrays(names.chunks[: number + 1])
        column = pa.DictionaryArray.from_arrays(pa.array([number], pa.int32()), dictionary)
        batches.append(batch.set_column(batch.schema.names.index("exe"), "exe", column))
    assert ingested(client, *uploaded(PROCESSES, stream(*batches, **options))) == 4
    found = PyarrowClient(server.url).query(
        f"SELECT exe FROM processes WHERE process_id IN ({', '.join(map(repr, ids))}) ORDER BY exe"
    )
    assert found["exe"].to_pylist() == names.to_pylist()


def test_metadata_beside_rows_is_not_looked_at(client: RawClient) -> None:
    """Nor messages that have nothing else."""
    first, *others = uploaded(PROCESSES, stream(Recording().processes))
    requests = [decode(FlightData, request) for request in others]
    said = [
        FlightData(data_header=each.data_header, app_metadata=b"something", data_body=each.data_body)
        for each in requests
    ]
    alone = FlightData(app_metadata=b"something else")
    begin = FlightData(flight_descriptor=descriptor(PROCESSES), app_metadata=b"before the schema")
    schema = decode(FlightData, first)
    messages = [FlightData(data_header=schema.data_header), alone, *said, alone]
    assert ingested(client, *with_descriptor(descriptor(PROCESSES), [begin, *messages])) == 1


def test_parameters_may_be_coded(client: RawClient) -> None:
    """As data frames have them."""
    (answer,) = client.call(
        "DoAction",
        action("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query="SELECT upper(?) AS name"))),
    )
    prepared = unpack(decode(Result, answer).body)
    assert isinstance(prepared, ActionCreatePreparedStatementResult)
    command = CommandPreparedStatementQuery(prepared_statement_handle=prepared.prepared_statement_handle)
    rows = pa.record_batch({"0": pa.array(["a", "b", "a"]).dictionary_encode()})
    assert len(client.call("DoPut", *uploaded(command, stream(rows)))) == 1
    assert len(client.call("DoGet", ticket(command))) == 4


# ---- What is not


def refused(client: RawClient, rpc: str, *requests: bytes) -> str:
    """The message of a refusal, in which the server's memory stays what it is."""

    def call() -> None:
        with pytest.raises(grpc.RpcError) as failed:
            client.call(rpc, *requests)
        assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        told.append(failed.value.details())

    told: list[str] = []
    # What is sent is in memory several times over: the client is in the same process.
    assert peak_growth_bytes(call) < 16 * MIB + 8 * sum(map(len, requests))
    assert client.call("ListActions", b"")
    return told[0]


def large(codec: str) -> bytes:
    """Few bytes that become 1.5 GiB."""
    zeros = pa.array([bytes(64 * MIB)], pa.large_binary())
    names = ["process_id", *map(str, range(23))]
    return stream(pa.record_batch([zeros] * 24, names=names), compression=codec)


def lying(codec: str) -> bytes:
    """Few bytes that say that they become 64 GiB."""
    batch = pa.record_batch({"process_id": ["x" * 4000]})
    return stream(batch, compression=codec).replace(struct.pack("<q", 4000), struct.pack("<q", 1 << 36))


@pytest.mark.parametrize(
    "command",
    [PROCESSES, CommandPreparedStatementQuery(prepared_statement_handle=b"SELECT ?\n/*ps:1*/")],
    ids=["ingestion", "parameters"],
)
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("make", [large, lying])
def test_bombs_do_not_go_off(client: RawClient, command: Message, codec: str, make: Callable[[str], bytes]) -> None:
    """In uploads of rows and of parameters, whether they hold what they say or not."""
    assert "bytes without compression, expected at most" in refused(client, "DoPut", *uploaded(command, make(codec)))


def test_bombs_in_tickets_do_not_go_off(client: RawClient) -> None:
    """A ticket is what a server gave out, unless somebody made it."""
    for parameters in (large("zstd"), lying("zstd"), stream(pa.record_batch({"0": often("x" * MIB, 10_000)}))):
        forged = ticket(QueryTicket(sql="SELECT ?", query_id="0123456789abcdef", parameters=parameters))
        assert "expected at most" in refused(client, "DoGet", forged)


def often(text: str, times: int) -> pa.Array:
    """A text many times, at the cost of one."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text], pa.large_utf8()))


def test_a_text_that_is_named_many_times_is_counted_as_often(client: RawClient) -> None:
    """Ten gigabytes, in a megabyte."""
    rows = pa.record_batch({"process_id": often("x" * MIB, 10_000)})
    assert f"{10_000 * MIB} bytes without dictionaries" in refused(client, "DoPut", *uploaded(PROCESSES, stream(rows)))


def test_rows_that_take_no_room_are_counted(client: RawClient) -> None:
    """And more than there may be are refused."""
    rows = pa.record_batch({"exe": pa.Array.from_buffers(pa.null(), 1 << 40, [None])})
    told = refused(client, "DoPut", *uploaded(PROCESSES, stream(rows, allow_64bit=True)))
    assert f"expected 0 to {MAX_ROWS}" in told


@pytest.mark.parametrize(
    "column",
    [
        pa.Array.from_buffers(
            pa.utf8(), 2, [None, pa.py_buffer(struct.pack("<iii", 0, 1 << 30, 1)), pa.py_buffer(b"x")]
        ),
        pa.Array.from_buffers(pa.utf8(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]),
        pa.DictionaryArray.from_arrays(pa.array([1 << 30], pa.int32()), pa.array(["x"]), safe=False),
        pa.Array.from_buffers(
            pa.string_view(), 1, [None, pa.py_buffer(struct.pack("<i4sii", 1 << 20, b"xxxx", 0, 0)), pa.py_buffer(b"x")]
        ),
    ],
    ids=lambda column: str(column.type),
)
def test_rows_that_are_no_valid_arrow_are_refused(client: RawClient, column: pa.Array) -> None:
    """Or a value would be read from memory that is not its own."""
    rows = pa.record_batch({"process_id": column})
    assert "not a valid stream" in refused(client, "DoPut", *uploaded(PROCESSES, stream(rows)))
