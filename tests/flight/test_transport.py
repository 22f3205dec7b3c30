"""What gRPC is told to do: pings, threads, addresses, silence."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

import flightsrv.client
from flightsrv.flight.call import Services
from flightsrv.flight.transports import grpcio as transport
from flightsrv.policy.limits import CallLimits
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from flightsrv.wire.codec import decode
from flightsrv.wire.flight_pb2 import FlightData
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery, TicketStatementQuery
from tests.cli.conftest import FLIGHTSRV
from tests.server.fakes import TIMEOUT_S, FakeEngine
from tests.server.raw import raw_client, ticket
from udtf.lake.lake import Lake

WAIT = ticket(TicketStatementQuery(statement_handle=b"wait"))
PINGS = {
    "keepalive_time_ms": 1000,
    "keepalive_timeout_ms": 20_000,
    "keepalive_permit_without_calls": 1,
    "http2.max_pings_without_data": 0,
}
"""As often as gRPC lets a client ask whether its server is there."""


@pytest.mark.slow
def test_a_client_may_ask_in_a_long_silence_whether_the_server_is_there(
    fake_server: RunningServer, engine: FakeEngine
) -> None:
    """By gRPC's own settings, it would lose its connection after four seconds, for too many pings."""
    with raw_client(fake_server.url, **PINGS) as client:
        call = client.start("DoGet", [WAIT])
        rows = iter(call)
        assert [len(decode(FlightData, next(rows)).data_body) > 0 for _ in range(2)] == [False, True]
        time.sleep(6)
        engine.released.set()
        assert len(list(rows)) == 1
        assert call.code() == grpc.StatusCode.OK


@pytest.mark.slow
def test_the_work_for_a_client_that_does_not_answer_ends(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped still acknowledges what comes, as far as the network goes."""
    shorter = dict.fromkeys(("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"), 1000)
    monkeypatch.setattr(transport, "OPTIONS", tuple({**dict(transport.OPTIONS), **shorter}.items()))
    running = RunningServer(
        Services(cast(Any, engine), Lake.open(str(tmp_path / "lake"))), "127.0.0.1", 0, ServerSettings()
    )
    program = (
        "import sys; import flightsrv.client\n"
        f"with flightsrv.client.connect({running.url!r}) as client, client.stream('wait') as rows:\n"
        "    next(rows); print('read', flush=True); next(rows)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "read\n"
            client.send_signal(signal.SIGSTOP)
            assert engine.ended.wait(TIMEOUT_S)
        finally:
            client.kill()
    running.stop()


@pytest.fixture
def small_server(engine: FakeEngine, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that answers three calls at once."""
    services = Services(cast(Any, engine), Lake.open(str(tmp_path / "lake")), limits=CallLimits(max_calls=3))
    running = RunningServer(services, "127.0.0.1", 0, ServerSettings(drain_s=0.2, grace_s=60.0, calls=services.limits))
    yield running
    engine.released.set()
    running.stop()


def test_calls_beyond_the_limit_are_sent_away(small_server: RunningServer, engine: FakeEngine) -> None:
    """They may come again later, and then there is room."""
    with raw_client(small_server.url) as client:
        waiting = [client.start("DoGet", [WAIT]) for _ in range(3)]
        for call in waiting:
            next(iter(call))
        for rpc in ("ListActions", "Handshake", "DoPut", "GetFlightInfo"):
            with pytest.raises(grpc.RpcError) as refused:
                client.call(rpc, b"")
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert refused.value.details() == "3 calls are under way, as many as there may be; try again in a moment"
        with pytest.raises(flightsrv.client.Unavailable, match="try again in a moment"):
            flightsrv.client.connect(small_server.url)
        engine.released.set()
        assert [len(list(call)) for call in waiting] == [2, 2, 2]
        assert client.call("ListActions", b"")


def test_a_crowd_of_calls_beyond_the_limit_is_sent_away(small_server: RunningServer, engine: FakeEngine) -> None:
    """Without a thread for each of them: by gRPC, in its words."""
    with raw_client(small_server.url) as client:
        waiting = [client.start("DoGet", [WAIT]) for _ in range(3)]
        for call in waiting:
            next(iter(call))
        crowd = [client.start("ListActions", [b""]) for _ in range(300)]
        assert {call.code() for call in crowd} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        engine.released.set()
        assert [len(list(call)) for call in waiting] == [2, 2, 2]
        assert client.call("ListActions", b"")


def test_many_calls_at_once_are_answered(server: RunningServer) -> None:
    """More than there are cores, by one connection and by several."""

    def ask(number: int) -> int:
        with raw_client(server.url) as client:
            return len(client.call("DoGet", ticket(CommandStatementQuery(query=f"SELECT {number}"))))

    with ThreadPoolExecutor(50) as pool, raw_client(server.url) as client:
        answers = pool.map(
            lambda n: len(client.call("DoGet", ticket(CommandStatementQuery(query=f"SELECT {n}")))), range(200)
        )
        assert set(answers) == {2}
        assert set(pool.map(ask, range(50))) == {2}


@pytest.mark.parametrize("host", ["::1", "localhost", "127.0.0.1"])
def test_addresses_of_every_kind_are_listened_on(host: str, tmp_path: Path) -> None:
    """And told as clients take them."""
    with running_server(str(tmp_path / "lake"), host=host) as server, flightsrv.client.connect(server.url) as client:
        assert client.query("SELECT 1 AS n")["n"].to_pylist() == [1]


def test_grpc_is_silent(server: RunningServer, tmp_path: Path) -> None:
    """Where something is wrong, our own word is the only one."""
    command = [FLIGHTSRV, "serve", "--lake", str(tmp_path / "lake"), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env={"PATH": ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: cannot listen on 127.0.0.1:{server.port}; the port may be taken\n"
