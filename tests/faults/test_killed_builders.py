"""Cold traces while what makes them is killed: a Dask worker, the scheduler, a server, the database."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import flightsrv.client
from flightsrv.client import FlightsrvError
from tests.fleet.parts import Cluster, Server, dask, stopping
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import ingest_blocks, ingest_process
from tests.model.telemetry import cut
from tests.support.debian import program_or_skip
from tests.support.postgresql import PostgresqlCluster
from tests.support.waiting import wait_until
from udtf.lake.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]

ROUNDS = int(os.environ.get("TEST_EFFORT", "1"))
"""For each part that is killed, with two traces each: TEST_EFFORT=13 makes a hundred."""
NB_THREADS = 8
UPLOADS = 6
LONGEST_PAUSE_S = 0.4
"""A cold trace takes about so long."""


@dataclass(frozen=True)
class _Parts:
    database: PostgresqlCluster
    cluster: Cluster
    server: Server
    expected: Mapping[str, bytes]
    """The traces of all processes."""

    def kill(self, part: str) -> None:
        killed: Mapping[str, Callable[[], None]] = {
            "worker": self.cluster.workers[0].kill,
            "scheduler": self.cluster.scheduler.kill,
            "server": self.server.kill,
            "database": self.database.crash,
        }
        killed[part]()

    def mend(self, part: str) -> None:
        if part == "database":
            self.database.resume()
        elif part == "server":
            self.server.start()
            self.server.wait_until_ready()
        else:
            self.cluster.start()

    def make_cold(self) -> None:
        with flightsrv.client.connect(self.server.url) as client:
            for process_id in self.expected:
                client.query(f"SELECT * FROM retire_partitions('async_events', '{process_id}', {_ALWAYS})")
                for row in client.query(f"SELECT stream_id FROM streams WHERE process_id = '{process_id}'").to_pylist():
                    client.query(f"SELECT * FROM retire_partitions('thread_spans', '{row['stream_id']}', {_ALWAYS})")


_ALWAYS = "TIMESTAMP '2000-01-01T00:00:00Z', TIMESTAMP '2100-01-01T00:00:00Z'"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Parts]:
    """A server on PostgreSQL whose builds are done by a Dask cluster, and what its traces should be."""
    folder = tmp_path_factory.mktemp("killed-builders")
    database = PostgresqlCluster(program_or_skip("postgresql").parent)
    with ExitStack() as stack:
        stack.callback(database.stop)
        database.start()
        url = database.make_database()
        lake = folder / "lake"
        process_ids = _fill(lake, url)
        cluster = stack.enter_context(dask(folder, {}, 2))
        options = ["--lake", str(lake), "--db", url, "--builders", cluster.builders]
        server = Server("server", folder, {}, *options)
        stack.enter_context(stopping([server]))
        server.wait_until_ready()
        with flightsrv.client.connect(server.url) as client:
            expected = {process_id: bytes(client.trace(process_id, strict=True)) for process_id in process_ids}
        yield _Parts(database, cluster, server, expected)


def _fill(folder: Path, url: str) -> list[str]:
    """Two processes of some threads and tasks, which send now and then."""
    lake = Lake.open(str(folder), url)
    processes = []
    for number in range(2):
        threads = (examples.thread(*calls(300 + number), name=f"worker {i}") for i in range(NB_THREADS))
        tasks = examples.tasks(examples.task_begin(1, 1), examples.task_begin(2, 2), examples.task_end(5, 1))
        process = examples.process(*threads, tasks)
        ingest_process(lake, process)
        bounds = range(100, 10_000, 200)
        cuts = [cut(stream, bounds) for stream in process.streams]
        for upload in range(UPLOADS):
            ingest_blocks(lake, [blocks[upload] for blocks in cuts if upload < len(blocks)])
        processes.append(process.process_id)
    lake.close()
    return processes


@pytest.mark.parametrize("part", ["worker", "scheduler", "server", "database"])
def test_a_trace_is_exact_or_says_what_is_wrong(parts: _Parts, part: str) -> None:
    """Whatever is killed, and whenever; afterwards it is exact."""
    outcomes: Counter[str] = Counter()
    for round_number in range(ROUNDS):
        parts.make_cold()
        killer = threading.Thread(target=_kill_after, args=(parts, part, random.Random(round_number)))
        killer.start()
        try:
            outcomes.update(_outcome(parts, process_id, part) for process_id in parts.expected)
        finally:
            killer.join()
            parts.mend(part)
        wait_until(lambda: all(_outcome(parts, process_id, part) == "exact" for process_id in parts.expected))
    assert sum(outcomes.values()) == ROUNDS * len(parts.expected)
    if part in ("worker", "scheduler"):
        # What builds is done without.
        assert outcomes == {"exact": ROUNDS * len(parts.expected)}


def _kill_after(parts: _Parts, part: str, at_random: random.Random) -> None:
    time.sleep(at_random.uniform(0, LONGEST_PAUSE_S))
    parts.kill(part)


def _outcome(parts: _Parts, process_id: str, part: str) -> str:
    """What came of a trace: "exact", or the error. What is told without an error counts as one."""
    try:
        with flightsrv.client.connect(parts.server.url) as client:
            trace = client.trace(process_id)
    except FlightsrvError as error:
        outcome, message = type(error).__name__, str(error)
    else:
        if not trace.result.failed_threads:
            assert bytes(trace) == parts.expected[process_id]
            return "exact"
        outcome, message = "told", str(trace.result)
    assert part in ("server", "database"), message
    assert "Traceback" not in message
    return outcome
