"""Whatever a server answers ends in an error of ours, raised by the call that asked, and in no other place."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import grpc
import pyarrow as pa
import pytest
from click.testing import CliRunner
from grpc import StatusCode

from flightsrv import tracing
from flightsrv.cli import main
from flightsrv.client import Cancelled, FlightsrvError, QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_data import encode_rows
from flightsrv.wire.flight_pb2 import ActionType, FlightEndpoint, FlightInfo, PutResult, Result, SchemaResult, Ticket
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandStatementQuery,
    DoPutPreparedStatementResult,
)
from tests.server.raw import RPCS

REFUSING_CODES = (
    StatusCode.INVALID_ARGUMENT,
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.OUT_OF_RANGE,
    StatusCode.UNIMPLEMENTED,
)
"""Of servers that will not take what was sent, now or later."""
CODES = [code for code in StatusCode if code is not StatusCode.OK]
TIMEOUT_S = 60.0
ANSWER_S = 2.0
"""How long an upload waits for its end, which never comes where an answer before it cannot be read."""

Requests = Iterator[bytes]
Answering = Callable[[str, Requests, grpc.ServicerContext], Iterator[bytes]]
"""What a server answers to an RPC of this name."""

OPERATIONS: dict[str, Callable[[QueryClient, Path], object]] = {
    "check": lambda client, _: client.check(TIMEOUT_S),
    "query": lambda client, _: client.query("SELECT 1"),
    "a query with a parameter": lambda client, _: client.query("SELECT $1", [1], timeout_seconds=ANSWER_S),
    "processes": lambda client, _: client.processes(),
    "trace": lambda client, _: client.trace("p"),
    "a trace to a file": lambda client, folder: client.trace_to_file("p", folder / "p.pftrace"),
    "ingest": lambda client, _: client.ingest("processes", pa.table({"a": [1]}), timeout_seconds=ANSWER_S),
}

COMMANDS = {
    "processes": ["processes"],
    "query": ["query", "SELECT 1"],
    "trace": ["trace", "p", "-o", "p.pftrace"],
    "import-chrome": ["import-chrome", "events.json"],
}


@contextmanager
def serving(answer: Answering) -> Iterator[str]:
    """The URL of a server that answers all RPCs so."""
    handlers = {
        name: grpc.stream_stream_rpc_method_handler(
            lambda requests, context, name=name: answer(name, requests, context)
        )
        for name in RPCS
    }
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(
            threads, handlers=[grpc.method_handlers_generic_handler("arrow.flight.protocol.FlightService", handlers)]
        )
        url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield url
        finally:
            server.stop(None).wait()


def failing(code: StatusCode, *, after: frozenset[str] = frozenset()) -> Answering:
    """Ends every RPC with a status; those in `after` when they have answered as they should."""

    def answer(name: str, requests: Requests, context: grpc.ServicerContext) -> Iterator[bytes]:
        if name in after:
            yield from sensible(name)
        context.abort(code, "as the script says")

    return answer


def sensible(name: str) -> Iterator[bytes]:
    """Answers that a client goes on after."""
    schema = pa.schema([pa.field("chunk_id", pa.int32()), pa.field("chunk_data", pa.binary())])
    encoded = schema.serialize().to_pybytes()
    match name:
        case "GetFlightInfo":
            yield FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=b"t")),), schema=encoded).SerializeToString()
        case "GetSchema":
            yield SchemaResult(schema=encoded).SerializeToString()
        case "DoGet":
            yield from encode_rows(schema, [pa.record_batch([pa.array([0], pa.int32()), [b""]], schema=schema)])
        case "DoPut":
            yield PutResult(
                app_metadata=DoPutPreparedStatementResult(prepared_statement_handle=b"h").SerializeToString()
            ).SerializeToString()
        case "DoAction":
            yield Result(
                body=pack(
                    ActionCreatePreparedStatementResult(
                        prepared_statement_handle=b"h", dataset_schema=encoded, parameter_schema=b""
                    )
                )
            ).SerializeToString()
        case "ListActions":
            yield ActionType(type="a", description="b").SerializeToString()


def nonsense(answer: bytes, number: int) -> Answering:
    """Sends the same bytes so many times, whatever is asked; once where gRPC knows of one answer only."""

    def answer_all(name: str, requests: Requests, context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests, None)
        for _ in range(min(number, 1) if name in ("GetFlightInfo", "GetSchema") else number):
            yield answer

    return answer_all


@pytest.fixture
def interrupts() -> Iterator[list[int]]:
    """The signals by which the main thread was interrupted, which would be exceptions otherwise."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    before = signal.signal(signal.SIGINT, note)
    yield caught
    signal.signal(signal.SIGINT, before)


def outcome(operation: Callable[[], object]) -> BaseException | None:
    """What an operation raises."""
    try:
        operation()
    except BaseException as error:
        return error
    return None


def in_another_thread(operation: Callable[[], object]) -> BaseException | None:
    """The same, in a thread that is not the main one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(outcome, operation).result(TIMEOUT_S)


@pytest.mark.parametrize("run", [outcome, in_another_thread])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("after", [frozenset(), {"GetFlightInfo", "DoAction"}, set(RPCS)], ids=len)
def test_a_status_is_raised_by_the_call_that_asked(run, code, after, interrupts, tmp_path: Path) -> None:
    """Every code, at once and in the middle of an answer, whichever thread asks."""
    with serving(failing(code, after=frozenset(after))) as url:
        client = QueryClient(url)
        for name, operation in OPERATIONS.items():
            error = run(lambda operation=operation: operation(client, tmp_path))
            assert error is None or isinstance(error, FlightsrvError), name
            if name not in ("check", "ingest"):  # a server that does not know a command answers, too
                assert error is not None, name
        client.close()
    assert interrupts == []


@pytest.mark.parametrize("run", [outcome, in_another_thread])
def test_to_connect_is_refused_in_words(run, interrupts) -> None:
    """CANCELLED, which once interrupted the whole program."""
    with serving(failing(StatusCode.CANCELLED)) as url:
        error = run(lambda: connect(url))
    assert isinstance(error, Cancelled)
    assert "as the script says" in str(error)
    assert interrupts == []


NONSENSE = {
    "nothing": b"",
    "no protobuf": b"\xff" * 40,
    "another message": pack(CommandStatementQuery(query="SELECT 1")),
    "a result of another kind": Result(
        body=pack(ActionCreatePreparedStatementRequest(query="SELECT 1"))
    ).SerializeToString(),
    "a result that is none": Result(body=b"\xff").SerializeToString(),
    "a result of an upload that is none": PutResult(app_metadata=b"\xff").SerializeToString(),
    "a schema that is none": SchemaResult(schema=b"\xff" * 16).SerializeToString(),
    "no endpoint": FlightInfo().SerializeToString(),
    "two endpoints": FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=b"t")),) * 2).SerializeToString(),
    "one endpoint": FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=b"t")),)).SerializeToString(),
}


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("kind", NONSENSE)
def test_answers_without_sense_are_failures_of_the_server(kind, number, interrupts, tmp_path: Path) -> None:
    """None of them, too few or too many."""
    with serving(nonsense(NONSENSE[kind], number)) as url:
        client = QueryClient(url)
        for name, operation in OPERATIONS.items():
            error = outcome(lambda operation=operation: operation(client, tmp_path))
            assert error is None or isinstance(error, FlightsrvError), name
            if name not in ("check", "ingest"):
                assert error is not None, name
        client.close()
    assert interrupts == []


ROWS = {
    "metadata that is no JSON": (pa.record_batch({"a": [1]}), b"\xff{"),
    "metadata that nests without end": (pa.record_batch({"a": [1]}), b"[" * 200_000),
    "metadata that is no object": (pa.record_batch({"a": [1]}), b"[1]"),
    "too few columns": (pa.record_batch({"a": [1]}), b""),
    "other types": (pa.record_batch({"chunk_id": ["0"], "chunk_data": ["x"]}), b""),
    "nulls": (pa.record_batch([pa.array([0], pa.int32()), pa.array([None], pa.binary())], ["chunk_id", "b"]), b""),
    "another chunk": (pa.record_batch([pa.array([7], pa.int32()), pa.array([b"x"])], ["chunk_id", "b"]), b""),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_trace_that_is_none_is_a_failure_of_the_server(kind, interrupts, tmp_path: Path) -> None:
    """Rows that are no chunks, and what comes with them."""
    batch, metadata = ROWS[kind]

    def answer(name: str, requests: Requests, context: grpc.ServicerContext) -> Iterator[bytes]:
        if name == "DoGet":
            yield from encode_rows(batch.schema, [(batch, metadata)])
        else:
            yield from sensible(name)

    with serving(answer) as url, connect(url) as client:
        for operation in (lambda: client.trace("p"), lambda: client.trace_to_file("p", tmp_path / "p.pftrace")):
            assert isinstance(outcome(operation), FlightsrvError)
    assert os.listdir(tmp_path) == []
    assert interrupts == []


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("after", [frozenset(), {"GetFlightInfo"}], ids=["at once", "later"])
def test_a_traced_program_goes_on(code, after, interrupts) -> None:
    """It hears of nothing; what was recorded waits, also for room in a store; or is counted as refused."""
    with (
        serving(failing(code, after=frozenset(after))) as url,
        running_gateway(url, GatewaySettings(port=0)) as gateway,
    ):
        settings = tracing.Settings(vitals_every_s=None, send_every_s=0.01, stop_timeout_s=0.1)
        with tracing.start(gateway.url, settings=settings) as session:
            with tracing.span("work"):
                pass
            if session.flush(0.1):
                assert session.statistics().refused_events == 2
                assert code in REFUSING_CODES
            assert not session.statistics().sent_events
    assert interrupts == []
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_fails_in_one_line(code, command, interrupts, tmp_path: Path, monkeypatch) -> None:
    """With exit code 1, which is not that of an interruption."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.json").write_text('[{"ph": "X", "name": "a", "ts": 1, "dur": 1, "pid": 1, "tid": 1}]')
    with serving(failing(code)) as url:
        result = CliRunner().invoke(main, [*COMMANDS[command], "--url", url])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "as the script says" in line
    assert interrupts == []
