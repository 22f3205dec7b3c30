"""A server with one recording in it, by each transport, and every client of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import pytest

from flightsrv.flight.transports.transport import TransportName
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.flightsql.interop.asking import CLIENTS, Client
from tests.server.clients import PyarrowClient
from tests.server.telemetry import Recording


@pytest.fixture(scope="package", params=get_args(TransportName))
def transport(request: pytest.FixtureRequest) -> TransportName:
    """Each in turn."""
    return cast(TransportName, request.param)


@pytest.fixture(scope="package")
def server(transport: TransportName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One by the transport."""
    lake = tmp_path_factory.mktemp(f"server-{transport}") / "lake"
    with running_server(str(lake), settings=ServerSettings(transport=transport)) as running:
        yield running


@pytest.fixture(scope="package")
def recording(server: RunningServer) -> Recording:
    """A process in the lake."""
    made = Recording()
    for table, rows in made.tables().items():
        PyarrowClient(server.url).ingest(table, rows)
    return made


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Path:
    """Where clients are kept that have to be installed, from one run to the next."""
    return Path(request.config.cache.mkdir("flight-sql-clients"))


@pytest.fixture(scope="package", params=CLIENTS, ids=lambda kind: kind.__name__)
def asking(request: pytest.FixtureRequest, server: RunningServer, installed: Path) -> Iterator[Client]:
    """Each client in turn."""
    client: Client = request.param(server.url, installed)
    yield client
    client.close()
