"""How large what a caller sends may be: all of it is refused before anything is made of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pyarrow as pa
import pytest
from grpc import StatusCode

from flightsrv.flight.call import Services
from flightsrv.flight.errors import MAX_MESSAGE_BYTES as MAX_TOLD_BYTES
from flightsrv.flight.errors import client_message
from flightsrv.flightsql.handles import new_handle, new_plan_handle
from flightsrv.policy.limits import CallLimits
from flightsrv.server.lifecycle import RunningServer, ServerSettings
from flightsrv.wire.codec import MAX_REPEATED, pack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    FlightDescriptor,
    FlightEndpoint,
    FlightInfo,
    RenewFlightEndpointRequest,
    SessionOptionValue,
    SetSessionOptionsRequest,
    Ticket,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    CommandStatementSubstraitPlan,
    SubstraitPlan,
    TicketStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.server.fakes import FakeEngine
from tests.server.raw import RawClient, action, descriptor, raw_client, ticket, upload
from udtf.lake.lake import Lake

LIMITS = CallLimits(max_statement_bytes=1000, max_parameters=3)
QUERY_ID = "0" * 16
PARAMETERS = pa.record_batch({"1": [1]})


class CountingEngine(FakeEngine):
    """Notes what it is asked to plan."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: list[object] = []

    def plan(self, sql: str, context: Any = None) -> Any:
        self.planned.append(sql)
        return super().plan("wait", context)

    def plan_substrait(self, plan: bytes, context: Any = None) -> Any:
        self.planned.append(plan)
        return super().plan("wait", context)


@pytest.fixture
def counting_engine() -> CountingEngine:
    """The engine of `client`."""
    return CountingEngine()


@pytest.fixture
def client(counting_engine: CountingEngine, tmp_path: Path) -> Iterator[RawClient]:
    """A client of a server where statements are short."""
    services = Services(cast(Any, counting_engine), Lake.open(str(tmp_path / "lake")), limits=LIMITS)
    running = RunningServer(services, "127.0.0.1", 0, ServerSettings(drain_s=0.2, grace_s=60.0))
    try:
        with raw_client(running.url) as connected:
            yield connected
    finally:
        counting_engine.released.set()
        running.stop()


def refusal(client: RawClient, rpc: str, *requests: bytes) -> tuple[StatusCode, str] | None:
    """The status of a call, unless it succeeds."""
    try:
        client.call(rpc, *requests)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None


def asking(command: Any) -> dict[str, tuple[str, bytes]]:
    """A command by each RPC that takes it."""
    asked = descriptor(command).SerializeToString()
    return {rpc: (rpc, asked) for rpc in ("GetFlightInfo", "PollFlightInfo", "GetSchema")} | {
        "DoGet": ("DoGet", ticket(command))
    }


def ways(sql: str) -> dict[str, tuple[str, bytes]]:
    """All the ways by which a statement comes: an RPC, and its messages."""
    (bound,) = upload(CommandPreparedStatementQuery(prepared_statement_handle=new_handle(sql)), PARAMETERS)[:1]
    commands = {
        "statement": CommandStatementQuery(query=sql),
        "prepared": CommandPreparedStatementQuery(prepared_statement_handle=new_handle(sql)),
        "ticket of text": TicketStatementQuery(statement_handle=sql.encode()),
        "ticket": QueryTicket(sql=sql, query_id=QUERY_ID),
    }
    return {f"{name} by {rpc}": call for name, command in commands.items() for rpc, call in asking(command).items()} | {
        "prepare": (
            "DoAction",
            action("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql))),
        ),
        "bind": ("DoPut", bound),
    }


def plan_ways(plan: bytes) -> dict[str, tuple[str, bytes]]:
    """The same of a Substrait plan."""
    commands = {
        "plan": CommandStatementSubstraitPlan(plan=SubstraitPlan(plan=plan)),
        "prepared": CommandPreparedStatementQuery(prepared_statement_handle=new_plan_handle(plan)),
        "ticket": QueryTicket(sql="", query_id=QUERY_ID, substrait_plan=plan),
    }
    request = pack(ActionCreatePreparedSubstraitPlanRequest(plan=SubstraitPlan(plan=plan)))
    return {f"{name} by {rpc}": call for name, command in commands.items() for rpc, call in asking(command).items()} | {
        "prepare": ("DoAction", action("CreatePreparedSubstraitPlan", request))
    }


# Twice as many bytes as characters; and far more than is looked into.
LONG = {"by a byte": "x" * 1001, "in bytes": "ä" * 501, "by far": "x" * 200_000}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("way", ways(""))
def test_a_statement_that_is_too_long_is_refused(way, text, client: RawClient, counting_engine) -> None:
    """However it comes, and before it is planned."""
    refused = refusal(client, *ways(text)[way])
    assert refused is not None
    assert refused[0] == StatusCode.RESOURCE_EXHAUSTED
    assert "bytes" in refused[1]
    assert counting_engine.planned == []


@pytest.mark.parametrize("size_bytes", [1001, 200_000])
@pytest.mark.parametrize("way", plan_ways(b""))
def test_a_plan_that_is_too_long_is_refused(way, size_bytes, client: RawClient, counting_engine) -> None:
    """As statements are."""
    refused = refusal(client, *plan_ways(bytes(size_bytes))[way])
    assert refused is not None
    assert refused[0] == StatusCode.RESOURCE_EXHAUSTED
    assert counting_engine.planned == []


@pytest.mark.parametrize("sql", ["? ? ? ?", "$1 $2 $3 $4", "$4", "$1 $1 $1 $1"])
@pytest.mark.parametrize("way", ways(""))
def test_a_statement_with_too_many_placeholders_is_refused(way, sql, client: RawClient, counting_engine) -> None:
    """Repeated ones count, and so does the largest number."""
    refused = refusal(client, *ways(sql)[way])
    assert refused == (
        StatusCode.RESOURCE_EXHAUSTED,
        "a statement has at most 3 placeholders, and numbers up to that",
    )
    assert counting_engine.planned == []


@pytest.mark.parametrize("sql", ["x" * 1000, "ä" * 500])
@pytest.mark.parametrize("way", [way for way in ways("") if "DoGet" not in way and way != "bind"])
def test_a_statement_as_long_as_may_be_is_planned(way, sql, client: RawClient, counting_engine) -> None:
    """The room around it is enough for what Flight SQL puts there."""
    assert refusal(client, *ways(sql)[way]) is None
    assert counting_engine.planned


def session_options(number: int) -> bytes:
    request = SetSessionOptionsRequest(
        session_options={f"o{n}": SessionOptionValue(string_value="") for n in range(number)}
    )
    return action("SetSessionOptions", request.SerializeToString())


def cancelling(number: int) -> bytes:
    endpoint = FlightEndpoint(ticket=Ticket(ticket=b""))
    return action(
        "CancelFlightInfo", CancelFlightInfoRequest(info=FlightInfo(endpoint=(endpoint,) * number)).SerializeToString()
    )


REQUEST_BYTES, INFO_BYTES, TICKET_BYTES = LIMITS.max_request_bytes, LIMITS.max_info_bytes, LIMITS.max_ticket_bytes

OVERSIZED: dict[str, tuple[str, bytes]] = {
    "a descriptor": ("GetFlightInfo", bytes(REQUEST_BYTES + 1)),
    "a descriptor of a schema": ("GetSchema", bytes(REQUEST_BYTES + 1)),
    "a handshake": ("Handshake", bytes(REQUEST_BYTES + 1)),
    "an action": ("DoAction", bytes(INFO_BYTES + 1)),
    "a ticket": ("DoGet", bytes(TICKET_BYTES + 1)),
    "a command of an upload": ("DoPut", upload(CommandStatementIngest(table="x" * REQUEST_BYTES), PARAMETERS)[0]),
    "the body of an action": ("DoAction", action("SetSessionOptions", bytes(REQUEST_BYTES + 1))),
    "a handle to close": (
        "DoAction",
        action(
            "ClosePreparedStatement",
            pack(ActionClosePreparedStatementRequest(prepared_statement_handle=bytes(REQUEST_BYTES))),
        ),
    ),
    "an endpoint": (
        "DoAction",
        action(
            "RenewFlightEndpoint",
            RenewFlightEndpointRequest(
                endpoint=FlightEndpoint(ticket=Ticket(ticket=bytes(INFO_BYTES)))
            ).SerializeToString(),
        ),
    ),
}


@pytest.mark.parametrize("kind", OVERSIZED)
def test_whatever_is_too_large_is_refused(kind: str, client: RawClient) -> None:
    """Before it is taken apart."""
    refused = refusal(client, *OVERSIZED[kind])
    assert refused is not None
    assert refused[0] == StatusCode.RESOURCE_EXHAUSTED
    assert "it may have" in refused[1] or "this one may have" in refused[1]


MANY = MAX_REPEATED + 1
CROWDED: dict[str, tuple[str, bytes]] = {
    "paths": ("GetFlightInfo", FlightDescriptor(path=("",) * MANY).SerializeToString()),
    "kinds of tables": ("GetFlightInfo", descriptor(CommandGetTables(table_types=("",) * MANY)).SerializeToString()),
    "ids": ("DoGet", ticket(CommandGetSqlInfo(info=(1,) * MANY))),
    "options of a session": ("DoAction", session_options(MANY)),
    "endpoints": ("DoAction", cancelling(MANY)),
    "options of an upload": (
        "DoPut",
        upload(CommandStatementIngest(table="processes", options={str(n): "" for n in range(MANY)}), PARAMETERS)[0],
    ),
}


@pytest.mark.parametrize("kind", CROWDED)
def test_lists_without_end_are_refused(kind: str, client: RawClient) -> None:
    """Each value would be an object."""
    refused = refusal(client, *CROWDED[kind])
    assert refused is not None
    assert refused[0] in (StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED)


def test_a_pattern_without_end_is_refused(client: RawClient, counting_engine) -> None:
    """It would be compiled."""
    command = CommandGetTables(table_name_filter_pattern="%_" * 600)
    assert refusal(client, "DoGet", ticket(command)) == (
        StatusCode.INVALID_ARGUMENT,
        "a pattern has at most 1000 characters, given: 1200",
    )


@pytest.mark.parametrize("text", ["x" * 10_000_000, "ä€" * 5_000_000, "\ud800" * 1_000_000])
def test_messages_that_quote_all_of_it_are_cut(text: str) -> None:
    """Whatever an error says."""
    told = client_message(ValueError(text))
    assert len(told.encode()) <= MAX_TOLD_BYTES
    assert told.endswith("…")
