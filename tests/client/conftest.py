"""A real server with a small process in its lake."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest

import flightsrv.client
from flightsrv import telemetry
from flightsrv.client import QueryClient
from flightsrv.server.lifecycle import RunningServer, running_server
from udtf.lake.block_format import BEGIN, END, Events, Scope, scope_array


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a lake that starts empty; tests ingest under ids of their own."""
    with running_server(str(tmp_path_factory.mktemp("client") / "lake")) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[QueryClient]:
    """Our client of it."""
    with flightsrv.client.connect(server.url) as connected:
        yield connected


@pytest.fixture
def process_id(client: QueryClient) -> str:
    """A new process: a thread that ran `outer` from 1 s to 5 s and `inner` in it from 2 s to 3 s."""
    process = telemetry.Process(str(uuid.uuid4()), 1_000, 0, 0, exe="it's a program")
    stream = telemetry.thread_stream(str(uuid.uuid4()), process.process_id, "worker", 17)
    events = Events(
        np.array([1_000, 2_000, 3_000, 5_000]),
        np.array([BEGIN, BEGIN, END, END], np.uint8),
        np.array([0, 1, 1, 0], np.int32),
        scope_array([Scope("outer", "app", "main.py", 1), Scope("inner", "app", "main.py", 2)]),
    )
    assert client.ingest("processes", telemetry.processes_batch([process])) == 1
    assert client.ingest("streams", telemetry.streams_batch([stream])) == 1
    assert client.ingest("blocks", telemetry.blocks_batch(list(telemetry.cut_blocks(stream, events)))) == 1
    return process.process_id
