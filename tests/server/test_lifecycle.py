"""Start, drain, stop."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pyarrow import flight

from flightsrv.flight.call import Services
from flightsrv.policy.gate import Gate
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server, start
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import TicketStatementQuery
from tests.server.clients import PyarrowClient
from tests.server.fakes import TIMEOUT_S, FakeEngine
from tests.server.telemetry import Recording
from udtf.errors import InvalidArgument, Overloaded
from udtf.lake.lake import Lake

WAIT = flight.Ticket(pack(TicketStatementQuery(statement_handle=b"wait")))


def test_telemetry_outlives_the_server(tmp_path: Path) -> None:
    """What one server took, the next one has."""
    recording = Recording()
    with running_server(str(tmp_path)) as server:
        PyarrowClient(server.url).ingest("processes", recording.processes)
    with running_server(str(tmp_path)) as server:
        assert PyarrowClient(server.url).query("SELECT process_id FROM processes")["process_id"].to_pylist() == [
            recording.process_id
        ]


def test_taken_port_is_refused(server: RunningServer, tmp_path: Path) -> None:
    """Two servers never share a port."""
    with pytest.raises(InvalidArgument, match=f"cannot listen on 127.0.0.1:{server.port}"):
        start(str(tmp_path), port=server.port)


def test_draining_server_refuses_calls_and_finishes_streams(
    fake_server: RunningServer, fake_connection: flight.FlightClient, engine: FakeEngine
) -> None:
    """A new call hears UNAVAILABLE; the stream in flight gets its last row."""
    reader = fake_connection.do_get(WAIT)
    reader.read_chunk()
    stopping = threading.Thread(target=fake_server.gate.drain, args=(TIMEOUT_S,))
    stopping.start()
    while not fake_server.gate.is_draining():
        pass
    with pytest.raises(flight.FlightUnavailableError, match="the server is stopping"):
        list(fake_connection.list_actions())
    engine.released.set()
    assert reader.read_chunk().data["n"].to_pylist() == [1]
    with pytest.raises(StopIteration):
        reader.read_chunk()
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_stopping_server_sends_all_to_the_end(engine: FakeEngine, tmp_path: Path) -> None:
    """The last row and the status reach the client; after that, nobody listens."""
    services = Services(cast(Any, engine), Lake.open(str(tmp_path / "lake")))
    server = RunningServer(services, "127.0.0.1", 0, ServerSettings(drain_s=TIMEOUT_S))
    with flight.connect(server.url) as client:
        reader = client.do_get(WAIT)
        reader.read_chunk()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        while not server.gate.is_draining():
            pass
        engine.released.set()
        assert reader.read_all()["n"].to_pylist() == [1]
        stopping.join(TIMEOUT_S)
        assert not stopping.is_alive()
        with pytest.raises(flight.FlightUnavailableError):
            client.do_get(WAIT)


@pytest.mark.parametrize("sql", [b"wait", b"forever"])
def test_stream_that_outlasts_the_drain_is_ended(
    fake_server: RunningServer, fake_connection: flight.FlightClient, sql: bytes
) -> None:
    """The client hears why, and the server stops."""
    reader = fake_connection.do_get(flight.Ticket(pack(TicketStatementQuery(statement_handle=sql))))
    reader.read_chunk()
    stopping = threading.Thread(target=fake_server.stop)
    stopping.start()
    with pytest.raises(flight.FlightUnavailableError, match="the server is stopping"):
        reader.read_all()
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_gate_knows_whether_all_have_left() -> None:
    """Draining ends when the last one leaves, or when its time is over."""
    gate = Gate(1)
    gate.enter()
    assert not gate.drain(0)
    assert not gate.close(0)
    gate.leave()
    assert gate.drain(0)


def test_gate_lets_in_as_many_as_may_be() -> None:
    """And others when there is room again."""
    gate = Gate(2)
    for _ in range(2):
        gate.enter()
    with pytest.raises(Overloaded, match="2 calls are under way, as many as there may be"):
        gate.enter()
    gate.leave()
    gate.enter()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its URL."""
    code = f"from flightsrv.server.lifecycle import serve; serve({str(tmp_path / 'lake')!r}, port=0)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_cleanly(served: tuple[subprocess.Popen[str], str], number: signal.Signals) -> None:
    """Its exit status is 0, and what it took is stored."""
    process, url = served
    assert PyarrowClient(url).ingest("processes", Recording().processes) == 1
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0
