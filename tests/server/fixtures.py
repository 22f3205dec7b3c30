"""Servers to talk to: one over a real lake for all tests, and one over the fake engine for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv.flight.call import Services
from flightsrv.policy.bound_parameters import BoundParameters
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.server.clients import AdbcClient, Client, PyarrowClient
from tests.server.fakes import FakeEngine
from udtf.lake.lake import Lake


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a lake that starts empty; tests ingest under ids of their own."""
    with running_server(str(tmp_path_factory.mktemp("server") / "lake")) as running:
        yield running


@pytest.fixture(params=[PyarrowClient, AdbcClient])
def client(request: pytest.FixtureRequest, server: RunningServer) -> Client:
    """Each client of the real server in turn."""
    return cast(Client, request.param(server.url))


@pytest.fixture
def connection(server: RunningServer) -> Iterator[flight.FlightClient]:
    """A bare Flight connection to the real server."""
    with flight.connect(server.url) as connected:
        yield connected


@pytest.fixture
def engine() -> FakeEngine:
    """The engine of `fake_server`."""
    return FakeEngine()


@pytest.fixture
def fake_server(engine: FakeEngine, tmp_path: Path) -> Iterator[RunningServer]:
    """A server over an engine that pauses, fails and goes on for ever."""
    lake = Lake.open(str(tmp_path / "lake"))
    services = Services(cast(Any, engine), lake, BoundParameters())
    running = RunningServer(services, "127.0.0.1", 0, ServerSettings(drain_s=0.2, grace_s=60.0))
    yield running
    engine.released.set()
    running.stop()


@pytest.fixture(params=[PyarrowClient, AdbcClient])
def fake_client(request: pytest.FixtureRequest, fake_server: RunningServer) -> Client:
    """Each client of the server over the fake engine in turn."""
    return cast(Client, request.param(fake_server.url))


@pytest.fixture
def fake_connection(fake_server: RunningServer) -> Iterator[flight.FlightClient]:
    """A bare Flight connection to the server over the fake engine."""
    with flight.connect(fake_server.url) as connected:
        yield connected


def scalars(table: pa.Table) -> dict[str, Any]:
    """The only row of a table."""
    (row,) = table.to_pylist()
    return cast(dict[str, Any], row)
