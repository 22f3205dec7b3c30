"""A gateway before a real server, and one before a server that follows a script."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import flightsrv.client
from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.server.lifecycle import RunningServer, running_server
from tests.client.fake_server import FakeServer, serving
from tests.gateway.browser import browse
from tests.gateway.interposed import Interposed, interposed
from tests.gateway.recorded import Job, Program, record

__all__ = ["browse"]

SECONDS = Program(
    threads={
        "MainThread": [Job(at, at + 700, steps=3) for at in range(0, 10_000, 1000)],
        "worker-10": [Job(2_000, 4_500, steps=20)],
        "worker-9": [Job(6_000, 10_000, steps=20)],
    },
    requests=[Job(100 * number, 100 * number + 350) for number in range(90)],
    exe="/opt/orchestra/conductor",
    computer="podium",
)

SMALL = Program(
    threads={"main": [Job(0, 100, steps=4), Job(600, 700, steps=2)], "worker": [Job(50, 90)]},
    requests=[Job(10, 60), Job(20, 80)],
    exe="/opt/small/bin/small",
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a lake that starts empty; tests record processes of their own."""
    with running_server(str(tmp_path_factory.mktemp("gateway") / "lake")) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[QueryClient]:
    """Our client of the server."""
    with flightsrv.client.connect(server.url) as connected:
        yield connected


@pytest.fixture(scope="session")
def small(client: QueryClient) -> str:
    """The id of a process that did what `SMALL` says."""
    return record(client, SMALL)


@pytest.fixture(scope="session")
def conductor(client: QueryClient) -> str:
    """The id of a process that did what `SECONDS` says, beside others."""
    for number in range(3):
        record(client, Program({"main": []}, exe=f"/opt/orchestra/player-{number}"))
    return record(client, SECONDS)


@pytest.fixture(scope="session")
def gateway(server: RunningServer) -> Iterator[RunningGateway]:
    """A gateway before the server, with the Perfetto UI of its own."""
    with running_gateway(server.url, GatewaySettings(port=0, perfetto_ui="bundled")) as running:
        yield running


Slowed = Callable[..., tuple[Interposed, RunningGateway]]


@pytest.fixture
def slowed(server: RunningServer) -> Iterator[Slowed]:
    """A function that starts a gateway before the server, whose traces follow a script."""
    with ExitStack() as stack:

        def start(*script: object) -> tuple[Interposed, RunningGateway]:
            between = stack.enter_context(interposed(server.url, *script))  # type: ignore[arg-type]
            settings = GatewaySettings(port=0, drain_s=1)
            return between, stack.enter_context(running_gateway(between.url, settings))

        yield start


Scripted = Callable[..., tuple[FakeServer, RunningGateway]]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A function that starts a server with a script, and a gateway before it."""
    with ExitStack() as stack:

        def start(*script: object, max_traces: int = 8) -> tuple[FakeServer, RunningGateway]:
            fake = stack.enter_context(serving(*script))  # type: ignore[arg-type]
            settings = GatewaySettings(port=0, max_traces=max_traces, drain_s=1)
            return fake, stack.enter_context(running_gateway(fake.url, settings))

        yield start
