"""Power cuts, rivals and crowds: nothing acknowledged is lost, nothing is doubled, nobody hangs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from tests.faults.server_process import ServerProcess, running_server
from tests.model import examples
from tests.model.examples import calls
from tests.model.judge import assert_trace_is_model
from tests.model.lake import (
    block_batch,
    process_batch,
    stream_batch,
    timestamp,
)
from tests.model.places import Place, local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, cut
from tests.model.trace_reader import read_trace

pytestmark = pytest.mark.slow

NB_THREADS = 24
CALLS_PER_THREAD = 200


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return local_place(tmp_path / "lake")


@pytest.fixture
def process() -> Process:
    """Threads of calls, and tasks that overlap."""
    tasks = examples.tasks(
        *(examples.task_begin(i, i + 1, name=f"task {i}") for i in range(50)),
        *(examples.task_end(100 + i, i + 1, name=f"task {i}") for i in range(50)),
    )
    threads = (examples.thread(*calls(CALLS_PER_THREAD), name=f"worker {i}") for i in range(NB_THREADS))
    return examples.process(*threads, tasks)


@pytest.fixture
def blocks(process: Process) -> list[Block]:
    return [block for stream in process.streams for block in cut(stream, range(75, 10_000, 75))]


def _announce(server: ServerProcess, process: Process) -> None:
    server.ingest("processes", process_batch(process))
    server.ingest("streams", stream_batch(process, process.streams))


def _trace_sql(process: Process, columns: str = "chunk_id, chunk_data") -> str:
    return (
        f"SELECT {columns} FROM perfetto_trace_chunks('{process.process_id}', 'both', "
        f"{timestamp(ALL_TIME.begin_ns)}, {timestamp(ALL_TIME.end_ns)})"
    )


def _trace(server: ServerProcess, process: Process) -> bytes:
    return b"".join(server.query(_trace_sql(process)).column("chunk_data").to_pylist())


def _assert_partitions_are_sound(server: ServerProcess, place: Place) -> None:
    rows = server.query("SELECT * FROM list_partitions()").to_pylist()
    keys = [(row["view_set"], row["process_id"], row["nb_segments"], row["first_segment"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert set(place.parquet_files()) >= {row["path"] for row in rows}


@pytest.mark.parametrize("acknowledged_before", [1, 60])
def test_a_server_killed_while_it_ingests_loses_nothing_acknowledged(
    acknowledged_before: int, place: Place, process: Process, blocks: list[Block], tmp_path: Path
) -> None:
    """After a restart every acknowledged block is there; sending all again completes the lake, once."""
    server = ServerProcess(place.uri, None, tmp_path / "log")
    acknowledged: list[Block] = []
    enough = threading.Event()
    rest = iter(blocks)
    lock = threading.Lock()

    def send() -> None:
        try:
            with server.connection() as connection, connection.cursor() as cursor:
                while True:
                    with lock:
                        block = next(rest, None)
                    if block is None:
                        return
                    cursor.adbc_ingest("blocks", pa.Table.from_batches([block_batch([block])]), mode="append")
                    with lock:
                        acknowledged.append(block)
                        if len(acknowledged) >= acknowledged_before:
                            enough.set()
        except Exception:  # The connection dies with the server: that is what we are here for.
            enough.set()

    _announce(server, process)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(send)
        assert enough.wait(60)
        server.kill()
    assert acknowledged_before <= len(acknowledged) < len(blocks)

    with running_server(place.uri, None, tmp_path / "log") as again:
        stored = {row["block_id"] for row in again.query("SELECT block_id FROM blocks").to_pylist()}
        assert {block.block_id for block in acknowledged} <= stored
        stored_blocks = [block for block in blocks if block.block_id in stored]
        trace = read_trace(_trace(again, process))
        assert_trace_is_model(trace, process, stored_blocks, "both", ALL_TIME)
        _announce(again, process)
        again.ingest("blocks", block_batch(blocks))
        assert again.query("SELECT count(*) AS n FROM blocks").to_pylist() == [{"n": len(blocks)}]
        assert_trace_is_model(read_trace(_trace(again, process)), process, blocks, "both", ALL_TIME)


@pytest.mark.postgresql
def test_two_servers_asked_for_the_same_cold_trace_give_the_same_bytes(
    process: Process, blocks: list[Block], tmp_path: Path, postgresql_url: str
) -> None:
    """One row and one file for each partition, whoever made it."""
    place = local_place(tmp_path / "lake", postgresql_url)
    with ExitStack() as stack:
        servers = [stack.enter_context(running_server(place.uri, place.db_url, tmp_path / f"log{i}")) for i in range(2)]
        _announce(servers[0], process)
        servers[1].ingest("blocks", block_batch(blocks))
        barrier = threading.Barrier(4)

        def ask(server: ServerProcess) -> bytes:
            barrier.wait()
            return _trace(server, process)

        with ThreadPoolExecutor(4) as pool:
            traces = list(pool.map(ask, servers * 2))
        assert len(set(traces)) == 1
        assert_trace_is_model(read_trace(traces[0]), process, blocks, "both", ALL_TIME)
        _assert_partitions_are_sound(servers[0], place)


@pytest.mark.timeout(120)
def test_eight_clients_that_aggregate_chunks_at_once_all_get_their_answer(
    place: Place, process: Process, blocks: list[Block], tmp_path: Path
) -> None:
    """Cold and warm: as many plans as wait for threads, and nobody waits for ever."""
    with running_server(place.uri, None, tmp_path / "log") as server:
        _announce(server, process)
        server.ingest("blocks", block_batch(blocks))
        sql = _trace_sql(process, "chunk_id % 3 AS remainder, count(*) AS n") + " GROUP BY 1"
        for _ in ("cold", "warm"):
            with ThreadPoolExecutor(8) as pool:
                answers = [f.result(timeout=50) for f in [pool.submit(server.query, sql) for _ in range(8)]]
            counts = [sorted((r["remainder"], r["n"]) for r in a.to_pylist()) for a in answers]
            assert all(count == counts[0] for count in counts)
        nb_chunks = server.query(_trace_sql(process, "count(*) AS n")).to_pylist()[0]["n"]
        assert sum(n for _, n in counts[0]) == nb_chunks
