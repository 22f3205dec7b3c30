"""One server with one recording in it, and every client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.server.lifecycle import RunningServer
from tests.flightsql.interop.asking import CLIENTS, Client
from tests.server.clients import PyarrowClient
from tests.server.telemetry import Recording


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
