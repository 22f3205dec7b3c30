"""What queries may take: places, time, room, memory; and what is left of those that end early."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import grpc
import psutil
import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv.flight.call import Services
from flightsrv.policy.limits import CallLimits
from flightsrv.server.lifecycle import RunningServer, ServerSettings
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_pb2 import CancelFlightInfoRequest, FlightEndpoint, FlightInfo, Ticket
from flightsrv.wire.flight_sql_pb2 import CommandStatementIngest, CommandStatementQuery, TicketStatementQuery
from tests.faults.server_process import ServerProcess
from tests.faults.server_process import running_server as server_process
from tests.server.clients import descriptor
from tests.server.fakes import SCHEMA, TIMEOUT_S, FakeEngine
from tests.server.raw import raw_client, upload
from udtf.lake.lake import Lake
from udtf.lake.settings import MIB

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

INGEST = CommandStatementIngest(
    table="processes",
    table_definition_options=TableDefinitionOptions(
        if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
        if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
    ),
)


@contextmanager
def fake_server(engine: FakeEngine, folder: Path, limits: CallLimits) -> Iterator[RunningServer]:
    """A server over an engine that does as it is told, with limits."""
    services = Services(cast(Any, engine), Lake.open(str(folder / "lake")), limits=limits)
    running = RunningServer(services, "127.0.0.1", 0, ServerSettings(drain_s=0.2, grace_s=60.0))
    try:
        yield running
    finally:
        engine.released.set()
        running.stop()


def start(client: flight.FlightClient, sql: str) -> flight.FlightStreamReader:
    return client.do_get(flight.Ticket(pack(TicketStatementQuery(statement_handle=sql.encode()))))


# Places.


def test_a_query_that_finds_no_place_is_sent_away(engine: FakeEngine, tmp_path: Path) -> None:
    """UNAVAILABLE with advice; afterwards there is a place again. What is not a query needs none."""
    with (
        fake_server(engine, tmp_path, CallLimits(max_queries=1, max_wait_s=0.1)) as server,
        flight.connect(server.url) as client,
    ):
        first = start(client, "wait")
        first.read_chunk()
        for _ in range(3):
            with pytest.raises(flight.FlightUnavailableError, match=r"1 queries are under way.*try again later"):
                start(client, "wait").read_all()
        with adbc.connect(server.url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("wait")
            with pytest.raises(adbc_driver_manager.Error, match="try again later"):
                cursor.fetchall()
        assert list(client.list_actions())
        engine.released.set()
        assert first.read_all().num_rows == 1
        assert start(client, "wait").read_all().num_rows == 2


def test_a_query_waits_for_its_place(engine: FakeEngine, tmp_path: Path) -> None:
    """And runs when there is one; those that leave while they wait take none."""
    with (
        fake_server(engine, tmp_path, CallLimits(max_queries=1, max_wait_s=TIMEOUT_S)) as server,
        flight.connect(server.url) as client,
    ):
        first = start(client, "wait")
        first.read_chunk()
        for _ in range(5):
            start(client, "wait").cancel()
        answers: list[pa.Table] = []
        waiting = threading.Thread(target=lambda: answers.append(start(client, "wait").read_all()))
        waiting.start()
        engine.released.set()
        assert first.read_all().num_rows == 1
        waiting.join(TIMEOUT_S)
        assert [answer.num_rows for answer in answers] == [2]


# Time and room.


@pytest.mark.parametrize("sql", ["wait", "forever"])
def test_a_query_that_takes_too_long_is_ended(sql: str, engine: FakeEngine, tmp_path: Path) -> None:
    """Whether it waits or works. The work ends, too."""
    with (
        fake_server(engine, tmp_path, CallLimits(max_query_s=0.2)) as server,
        flight.connect(server.url) as client,
    ):
        with pytest.raises(
            flight.FlightTimedOutError, match=r"the query ran for 0\.2 s, as long as this server allows"
        ):
            start(client, sql).read_all()
        assert engine.ended.wait(TIMEOUT_S)


def test_a_result_that_grows_too_large_is_ended(engine: FakeEngine, tmp_path: Path) -> None:
    """What came until then was within the limit."""
    with (
        fake_server(engine, tmp_path, CallLimits(max_result_bytes=3 * MIB)) as server,
        flight.connect(server.url) as client,
    ):
        sizes_bytes: list[int] = []
        with pytest.raises(pa.ArrowInvalid, match="the result is larger than the 3 MiB that this server allows"):
            sizes_bytes.extend(chunk.data.nbytes for chunk in start(client, "forever"))
        assert 2 * MIB < sum(sizes_bytes) <= 3 * MIB
        assert engine.ended.wait(TIMEOUT_S)


# Clients that stall.


def test_a_client_that_takes_nothing_gives_up_its_place(engine: FakeEngine, tmp_path: Path) -> None:
    """Others wait for it."""
    limits = CallLimits(max_queries=1, max_wait_s=TIMEOUT_S, max_stall_s=0.4)
    with (
        fake_server(engine, tmp_path, limits) as server,
        flight.connect(server.url) as stalled,
        flight.connect(server.url) as other,
    ):
        silent = start(stalled, "forever")
        assert engine.entered.wait(TIMEOUT_S)
        engine.released.set()
        assert start(other, "wait").read_all().num_rows == 2
        with pytest.raises(flight.FlightCancelledError):
            list(silent)


def test_a_client_that_takes_a_little_now_and_then_keeps_its_place(engine: FakeEngine, tmp_path: Path) -> None:
    """However long it takes in all."""
    limits = CallLimits(max_stall_s=5.0)
    with fake_server(engine, tmp_path, limits) as server, flight.connect(server.url) as slow:
        taking = start(slow, "forever")
        end_s = time.monotonic() + 7.5
        while time.monotonic() < end_s:
            for _ in range(200):
                taking.read_chunk()
            time.sleep(0.2)
        taking.cancel()


@pytest.mark.parametrize(("rpc", "sent"), [("DoPut", 0), ("DoPut", 1), ("GetFlightInfo", 0)])
def test_a_client_that_sends_nothing_gives_up_its_place(
    rpc: str, sent: int, engine: FakeEngine, tmp_path: Path
) -> None:
    """Whatever it wanted to send, and to whom."""
    held = threading.Event()
    limits = CallLimits(max_calls=1, max_stall_s=0.2)
    with fake_server(engine, tmp_path, limits) as server, raw_client(server.url) as client:

        def messages() -> Iterator[bytes]:
            yield from upload(INGEST, schema=SCHEMA)[:sent]
            held.wait(TIMEOUT_S)

        with pytest.raises(grpc.RpcError) as ended:
            list(client.start(rpc, messages()))
        assert ended.value.code() == grpc.StatusCode.CANCELLED
        held.set()
        while True:  # the client hears of it first
            with suppress(grpc.RpcError):
                assert client.call("ListActions", b"")
                break


def test_a_query_that_is_cancelled_ends_though_its_client_takes_nothing(engine: FakeEngine, tmp_path: Path) -> None:
    """For it would never know."""
    limits = CallLimits(max_queries=1, max_wait_s=TIMEOUT_S, max_query_s=1.0)
    with (
        fake_server(engine, tmp_path, limits) as server,
        flight.connect(server.url) as client,
        flight.connect(server.url) as other,
    ):
        _silent = start(client, "forever")
        assert engine.entered.wait(TIMEOUT_S)
        assert engine.ended.wait(TIMEOUT_S)
        engine.released.set()
        while True:  # there is a place, if little time
            with suppress(flight.FlightTimedOutError):
                assert start(other, "wait").read_all().num_rows == 2
                break


# Memory and disk.

SORT = "SELECT v, arrow_cast(v, 'Utf8') AS t FROM generate_series(1, 3000000) g(v) ORDER BY t DESC"
"""Takes about 130 MiB, which are spilled where there is less."""


LITTLE = ("--memory-mib=64", "--query-memory-mib=64", "--query-spill-mib=400", "--max-wait-seconds=0.2")


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A server with little memory, one computing query at a time; and its folder for temporary files."""
    folder = tmp_path_factory.mktemp("small")
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    with server_process(str(folder / "lake"), None, folder / "log", *LITTLE, environment=environment) as server:
        yield server, temporary


@pytest.fixture
def small_client(small_server: tuple[ServerProcess, Path]) -> Iterator[flight.FlightClient]:
    """Connected to the server with little memory."""
    with flight.connect(small_server[0].url) as client:
        yield client


def files_in(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def test_a_sort_spills_and_leaves_nothing(
    small_server: tuple[ServerProcess, Path], small_client: flight.FlightClient
) -> None:
    """While its rows come, there are files; when it is over, none. Nobody learns where they are."""
    reader = start(small_client, SORT)
    first = reader.read_chunk().data
    assert first["t"][0].as_py() == "999999"
    assert files_in(small_server[1])
    assert first.num_rows + reader.read_all().num_rows == 3_000_000
    while files_in(small_server[1]):
        pass
    settings = start(small_client, "SELECT * FROM information_schema.df_settings ORDER BY name").read_all()
    assert settings.num_rows > 0
    assert str(small_server[1]) not in str(settings.to_pylist())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT array_agg(v) FROM generate_series(1, 20000000) g(v)",
        "SELECT count(*) FROM generate_series(1, 6000000) a(v) JOIN generate_series(1, 6000000) b(w) ON v = w",
        "SELECT v, repeat('x', 1000) AS t FROM generate_series(1, 800000) g(v) ORDER BY t, v DESC",
        "SELECT count(*) FROM "
        + ", ".join(f"generate_series(1, 100) {name}(v)" for name in "abcd")
        + " WHERE a.v + b.v + c.v + d.v < 0",
    ],
    ids=["aggregate", "join", "spill", "joins"],
)
def test_a_query_that_needs_too_much_is_ended(
    sql: str, small_server: tuple[ServerProcess, Path], small_client: flight.FlightClient
) -> None:
    """It hears how much it may have; the next one runs as if nothing had been."""
    with pytest.raises(pa.ArrowInvalid, match="the query needs more than the 64 MiB of memory and 400 MiB of disk"):
        start(small_client, sql).read_all()
    assert start(small_client, "SELECT count(*) AS n FROM processes").read_all()["n"].to_pylist() == [0]
    while files_in(small_server[1]):
        pass


def test_queries_that_compute_run_as_far_as_there_is_memory(small_client: flight.FlightClient) -> None:
    """A second one is sent away after a while; one that only reads is not."""
    first = start(small_client, SORT)
    first.read_chunk()
    with pytest.raises(flight.FlightUnavailableError, match=r"1 queries that compute are under way"):
        start(small_client, "SELECT count(*) FROM processes").read_all()
    assert start(small_client, "SELECT * FROM processes").read_all().num_rows == 0
    first.cancel()
    while True:
        try:
            assert start(small_client, "SELECT count(*) AS n FROM processes").read_all()["n"].to_pylist() == [0]
        except flight.FlightUnavailableError:
            continue
        break


# What is left of those that end early.

WORK = [
    "SELECT count(*) FROM generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) WHERE v * w % 7 = 3",
    "SELECT v % 1000003 AS k, count(*), sum(sqrt(v)) FROM generate_series(1, 20000000000) g(v) GROUP BY k",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 2000000000) SELECT max(n) FROM r",
]
BUSY_S = 0.3
IDLE_S = 0.3
"""CPU time that a server with nothing to do may take in the second after the one in which it had to stop."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server in a process of its own, whose CPU time is all its own."""
    folder = tmp_path_factory.mktemp("process")
    with server_process(str(folder / "lake"), None, folder / "log") as server:
        yield server


def cpu_s(server: ServerProcess) -> float:
    """Time that the server has computed, and its processes, also those that have ended."""
    process = psutil.Process(server.process.pid)
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # then its parent has its time in a moment
            seconds += sum(each.cpu_times()[:4])
    return seconds


def cancel_stream(server: ServerProcess, until: Callable[[], None], sql: str) -> None:
    with flight.connect(server.url) as client:
        reader = start(client, sql)
        until()
        reader.cancel()


def disconnect(server: ServerProcess, until: Callable[[], None], sql: str) -> None:
    client = flight.connect(server.url)
    _reader = start(client, sql)
    until()
    client.close()


def cancel_by_info(server: ServerProcess, until: Callable[[], None], sql: str) -> None:
    with flight.connect(server.url) as client, flight.connect(server.url) as other:
        info = client.get_flight_info(descriptor(CommandStatementQuery(query=sql)))
        reader = client.do_get(info.endpoints[0].ticket)
        until()
        request = CancelFlightInfoRequest(
            info=FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=info.endpoints[0].ticket.ticket)),))
        )
        assert len(list(other.do_action(("CancelFlightInfo", request.SerializeToString())))) == 1
        with pytest.raises(flight.FlightCancelledError):
            list(reader)  # read_all would take the cancellation for Ctrl-C


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave", "sql"),
    [*zip([cancel_stream, disconnect, cancel_by_info], WORK, strict=True), (disconnect, WORK[0])],
)
def test_work_nobody_waits_for_takes_no_time(
    leave: Callable[[ServerProcess, Callable[[], None], str], None], sql: str, process: ServerProcess
) -> None:
    """A second after the client has left, the server's CPU clock stands still."""
    begin_s = cpu_s(process)

    def until_busy() -> None:
        while cpu_s(process) - begin_s < BUSY_S:
            time.sleep(0.01)

    leave(process, until_busy, sql)
    time.sleep(1)
    stopped_s = cpu_s(process)
    time.sleep(1)
    assert cpu_s(process) - stopped_s < IDLE_S
