"""The RPCs of Flight at the level of gRPC: what they answer, and with which status they fail."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from pyarrow import flight

from flightsrv.flightsql.handlers import ACTIONS
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.settings import SecuritySettings
from flightsrv.policy.limits import MAX_MESSAGE_BYTES, CallLimits
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from flightsrv.wire.codec import decode, pack
from flightsrv.wire.flight_pb2 import (
    ActionType,
    FlightData,
    FlightDescriptor,
    FlightInfo,
    HandshakeResponse,
    PollInfo,
    PutResult,
    SchemaResult,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    CommandGetTableTypes,
    CommandPreparedStatementUpdate,
    CommandStatementIngest,
    CommandStatementQuery,
    CommandStatementUpdate,
    DoPutUpdateResult,
    TicketStatementQuery,
)
from tests.policy.auth.conftest import make_tokens
from tests.server.raw import TIMEOUT_S, RawClient, action, descriptor, raw_client, ticket, upload
from tests.server.telemetry import Recording

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

QUERY = CommandStatementQuery(query="SELECT 1 AS n")
INGEST = CommandStatementIngest(table="processes")


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawClient]:
    """Of the real server."""
    with raw_client(server.url) as connected:
        yield connected


@pytest.fixture
def fake_client(fake_server: RunningServer) -> Iterator[RawClient]:
    """Of the server over the fake engine."""
    with raw_client(fake_server.url) as connected:
        yield connected


def failure(client: RawClient, rpc: str, *requests: bytes, **options: object) -> tuple[StatusCode, str]:
    """The status of a call that fails, with its message."""
    with pytest.raises(grpc.RpcError) as failed:
        client.call(rpc, *requests, **options)
    message = failed.value.details()
    assert "Traceback" not in message
    assert ".py" not in message
    return failed.value.code(), message


# ---- Answers


def test_a_query_is_planned_and_run(client: RawClient) -> None:
    """The schema is the same wherever it is told, and the descriptor comes back."""
    asked = descriptor(QUERY)
    (answer,) = client.call("GetFlightInfo", asked.SerializeToString())
    info = decode(FlightInfo, answer)
    assert info.flight_descriptor == asked
    assert (info.total_records, info.total_bytes) == (-1, -1)
    (endpoint,) = info.endpoint
    assert [field.name for field, _ in endpoint.ListFields()] == ["ticket"]
    (answer,) = client.call("GetSchema", asked.SerializeToString())
    assert decode(SchemaResult, answer).schema == info.schema
    schema, rows = (
        decode(FlightData, message) for message in client.call("DoGet", endpoint.ticket.SerializeToString())
    )
    assert info.schema.endswith(schema.data_header)
    assert pa.ipc.read_record_batch(
        pa.py_buffer(_encapsulated(rows)), pa.ipc.read_schema(pa.py_buffer(info.schema))
    ).to_pydict() == {"n": [1]}


def _encapsulated(message: FlightData) -> bytes:
    return (
        b"\xff\xff\xff\xff" + len(message.data_header).to_bytes(4, "little") + message.data_header + message.data_body
    )


@pytest.mark.parametrize("command", [QUERY, CommandGetTableTypes()])
def test_a_poll_is_answered_at_once(client: RawClient, command: Message) -> None:
    """Complete, with nothing to ask on with."""
    (answer,) = client.call("PollFlightInfo", descriptor(command).SerializeToString())
    poll = decode(PollInfo, answer)
    assert [field.name for field, _ in poll.ListFields()] == ["info", "progress"]
    assert poll.progress == 1.0
    assert poll.info.flight_descriptor == descriptor(command)
    (endpoint,) = poll.info.endpoint
    assert len(client.call("DoGet", endpoint.ticket.SerializeToString())) == 2


def test_actions_are_listed(client: RawClient) -> None:
    """With a word on each."""
    listed = [decode(ActionType, answer) for answer in client.call("ListActions", b"")]
    assert [each.type for each in listed] == list(ACTIONS)
    assert all(each.description for each in listed)


def test_the_first_action_begins_a_session(client: RawClient) -> None:
    """By a cookie among the headers; those that follow have none."""
    call = client.start("DoAction", [action("GetSessionOptions", b"")])
    (cookie,) = [value for name, value in call.initial_metadata() if name == "set-cookie"]
    assert len(list(call)) == 1
    again = client.start("DoAction", [action("GetSessionOptions", b"")], headers={"cookie": cookie.partition(";")[0]})
    assert [name for name, _ in again.initial_metadata() if name == "set-cookie"] == []
    assert len(list(again)) == 1


def test_an_upload_is_answered(client: RawClient) -> None:
    """With the number of rows, in app_metadata."""
    (answer,) = client.call("DoPut", *upload(INGEST, Recording().processes))
    assert decode(DoPutUpdateResult, decode(PutResult, answer).app_metadata).record_count == 1


# What clients of different times say in a handshake: nothing, an empty message, a name and a password in the payload.
HANDSHAKES = [[], [b""], [b"\x12\x0b\x12\x03ada\x1a\x04word"], [b"\x08\x01", b"\x08\x01"], [b"\xff"]]


@pytest.mark.parametrize("requests", HANDSHAKES, ids=["nothing", "empty", "basic auth", "two", "garbage"])
def test_handshakes_come_to_an_end(client: RawClient, requests: list[bytes]) -> None:
    """With an answer to each message, and the header to send with other calls, in front and at the end."""
    call = client.start("Handshake", requests)
    assert [decode(HandshakeResponse, answer) for answer in call] == [HandshakeResponse()] * len(requests)
    for metadata in (call.initial_metadata(), call.trailing_metadata()):
        assert [value for name, value in metadata if name == "authorization"] == ["Bearer anybody"]


class OldHandshake(flight.ClientAuthHandler):
    """Sends a name and a password, and waits for what to send with other calls."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        outgoing.write(flight.BasicAuth("ada", "word").serialize())
        self.token = incoming.read()

    def get_token(self) -> bytes:
        return bytes(self.token)


def test_handshakes_of_pyarrow_come_to_an_end(server: RunningServer) -> None:
    """Of both kinds that it has."""
    with flight.connect(server.url) as client:
        client.authenticate(OldHandshake())
        assert client.authenticate_basic_token("ada", "word") == (b"authorization", b"Bearer anybody")
        assert len(list(client.list_actions())) == len(ACTIONS)


# ---- Failures


@pytest.mark.parametrize(
    ("rpc", "requests", "code", "message"),
    [
        (
            "GetFlightInfo",
            [descriptor(CommandStatementQuery(query="SELEC")).SerializeToString()],
            "INVALID_ARGUMENT",
            "SELEC",
        ),
        (
            "GetSchema",
            [descriptor(CommandStatementQuery(query="SELECT x")).SerializeToString()],
            "INVALID_ARGUMENT",
            "x",
        ),
        (
            "DoGet",
            [ticket(CommandStatementQuery(query="CREATE TABLE t AS SELECT 1"))],
            "INVALID_ARGUMENT",
            "not supported",
        ),
        (
            "PollFlightInfo",
            [FlightDescriptor(type=FlightDescriptor.PATH, path=("a",)).SerializeToString()],
            "INVALID_ARGUMENT",
            "path",
        ),
        ("GetFlightInfo", [b""], "INVALID_ARGUMENT", "descriptor"),
        ("GetFlightInfo", [b"\xff"], "INVALID_ARGUMENT", "FlightDescriptor"),
        ("GetFlightInfo", [], "INVALID_ARGUMENT", "nothing was sent"),
        ("DoGet", [], "INVALID_ARGUMENT", "nothing was sent"),
        ("DoAction", [], "INVALID_ARGUMENT", "nothing was sent"),
        ("DoPut", [], "INVALID_ARGUMENT", "nothing was sent"),
        ("DoPut", [FlightData().SerializeToString()], "INVALID_ARGUMENT", "descriptor"),
        ("DoPut", [b"\xff"], "INVALID_ARGUMENT", "FlightData"),
        ("DoPut", [*upload(INGEST, Recording().processes), b"\xff"], "INVALID_ARGUMENT", "FlightData"),
        ("DoPut", upload(INGEST, Recording().streams), "INVALID_ARGUMENT", "column"),
        ("DoAction", [action("CreatePreparedStatement", b"x")], "INVALID_ARGUMENT", "Any"),
        (
            "DoGet",
            [ticket(CommandStatementQuery(query="SELECT * FROM process_spans('nobody', 'both')"))],
            "NOT_FOUND",
            "nobody",
        ),
        ("DoPut", upload(CommandStatementIngest(table="spans"), Recording().processes), "NOT_FOUND", "spans"),
        (
            "DoPut",
            upload(
                CommandStatementIngest(
                    table="processes",
                    table_definition_options=TableDefinitionOptions(
                        if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE,
                        if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_FAIL,
                    ),
                ),
                Recording().processes,
            ),
            "ALREADY_EXISTS",
            "table processes already exists",
        ),
        (
            "DoPut",
            [FlightData(flight_descriptor=descriptor(CommandStatementUpdate(query="x"))).SerializeToString()],
            "UNIMPLEMENTED",
            "only read",
        ),
        (
            "DoPut",
            [
                FlightData(
                    flight_descriptor=descriptor(CommandPreparedStatementUpdate(prepared_statement_handle=b"x"))
                ).SerializeToString()
            ],
            "UNIMPLEMENTED",
            "only read",
        ),
        ("DoAction", [action("BeginTransaction", b"")], "UNIMPLEMENTED", "transactions"),
        ("DoAction", [action("Dance", b"")], "UNIMPLEMENTED", "Dance"),
        ("ListFlights", [b""], "UNIMPLEMENTED", "GetTables"),
        ("DoExchange", [], "UNIMPLEMENTED", "DoExchange"),
        ("DoNothing", [b""], "UNIMPLEMENTED", "Method not found"),
    ],
)
def test_mistakes_have_their_status(
    client: RawClient, rpc: str, requests: list[bytes], code: str, message: str
) -> None:
    """And a message that says more."""
    status, told = failure(client, rpc, *requests)
    assert status.name == code
    assert message in told


@pytest.mark.parametrize(
    ("sql", "code", "message"),
    [
        ("fail to plan", "INTERNAL", "internal error, query id"),
        ("break late", "INTERNAL", "internal error, query id"),
        ("fail late", "INTERNAL", "block b7 cannot be read, query id"),
        ("panic", "INTERNAL", "internal error, query id"),
    ],
)
def test_failures_of_ours_are_internal(fake_client: RawClient, sql: str, code: str, message: str) -> None:
    """Also those that are no exceptions in Python's sense, after which a client would otherwise wait for ever."""
    status, told = failure(fake_client, "DoGet", ticket(TicketStatementQuery(statement_handle=sql.encode())))
    assert status.name == code
    assert told.startswith(message)


def test_headers_that_cannot_be_read_are_refused(client: RawClient) -> None:
    """By whichever RPC they come with."""
    for rpc in ("GetFlightInfo", "DoGet", "ListActions"):
        status, told = failure(client, rpc, b"", headers={"trace_strict": "perhaps"})
        assert (status.name, "trace_strict" in told) == ("INVALID_ARGUMENT", True)


def test_callers_have_their_status(tmp_path: Path) -> None:
    """Those that nobody knows, before a message is read; and those that may not do what they want."""
    tokens, made = make_tokens([Principal("reader", frozenset({Role.READER}))])
    settings = ServerSettings(security=SecuritySettings(tokens))
    rows = upload(INGEST, Recording().processes)
    with running_server(str(tmp_path), settings=settings) as server, raw_client(server.url) as client:
        for rpc in ("Handshake", "DoPut", "DoGet", "ListFlights", "ListActions"):
            for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic *"}):
                assert failure(client, rpc, b"\xff", headers=headers)[0] == StatusCode.UNAUTHENTICATED
        headers = {"authorization": f"Bearer {made['reader']}"}
        assert failure(client, "DoPut", *rows, headers=headers)[0] == StatusCode.PERMISSION_DENIED
        call = client.start("Handshake", [], headers=headers)
        assert list(call) == []
        assert ("authorization", f"Bearer {made['reader']}") in call.trailing_metadata()


def test_limits_have_their_status(tmp_path: Path) -> None:
    """Of size and of time."""
    limits = CallLimits(max_result_bytes=1000, max_query_s=0.5)
    with (
        running_server(str(tmp_path), settings=ServerSettings(calls=limits)) as server,
        raw_client(server.url) as client,
    ):
        large = ticket(CommandStatementQuery(query="SELECT repeat('x', 2000) AS t"))
        assert failure(client, "DoGet", large)[0] == StatusCode.RESOURCE_EXHAUSTED
        long = ticket(CommandStatementQuery(query="SELECT count(*) FROM range(2000000) a, range(2000000) b"))
        assert failure(client, "DoGet", long)[0] == StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_leaves_in_an_upload_is_no_failure(
    client: RawClient, server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What it sent until then is stored; the log says that it was cancelled."""
    caplog.set_level(logging.INFO, "flightsrv")
    recording = Recording()
    has_left = threading.Event()

    def sent() -> Iterator[bytes]:
        yield from upload(INGEST, recording.processes)
        has_left.wait(TIMEOUT_S)

    call = client.start("DoPut", sent())
    query = f"SELECT * FROM processes WHERE process_id = '{recording.process_id}'"
    while len(client.call("DoGet", ticket(CommandStatementQuery(query=query)))) < 2:
        pass
    call.cancel()
    has_left.set()
    while not any("cancelled" in line and "ingest into processes" in line for line in caplog.messages):
        time.sleep(0.01)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("rpc", ["GetFlightInfo", "DoPut"])
def test_messages_that_are_too_large_are_refused(client: RawClient, rpc: str, compression: grpc.Compression) -> None:
    """Also those that are small until they are decompressed."""
    status, told = failure(client, rpc, bytes(MAX_MESSAGE_BYTES + 1), compression=compression)
    assert status == StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in told


def test_compressed_messages_are_read(client: RawClient) -> None:
    """As gRPC offers it."""
    request = action("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query="SELECT 1")))
    assert len(client.call("DoAction", request, compression=grpc.Compression.Gzip)) == 1
