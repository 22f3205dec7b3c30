"""Many traces at once: each is whole and exact, memory and connections stay within bounds, and nobody hangs."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

import flightsrv.client
from benchmarks import generator, uploads
from flightsrv.client import QueryClient
from tests.faults.server_process import ServerProcess, running_server
from tests.support.postgresql import ConnectionWatch
from udtf.lake.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]

NB_SMALL_TRACES = 100
NB_LARGE_TRACES = 10
MAX_CONNECTIONS = 4
MAX_EXTRA_BYTES = 500 << 20
"""What all these traces at once may add to a server that has made one small trace. Those of the large processes have
140 MiB in all."""


def _ingest(lake: Lake, process_id: str, threads: int, spans_per_thread: int) -> None:
    streams = uploads.thread_streams(process_id, threads)
    for table, batch in uploads.introduction(process_id, streams):
        lake.ingest(table, batch)
    for number, stream in enumerate(streams):
        events = generator.thread_events(spans_per_thread, number)
        lake.ingest(*uploads.blocks(list(uploads.cut(stream, events, max_events=8192))))


@pytest.fixture
def server(tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    """On a lake of 40 small processes and 4 large ones, of which nothing is materialized."""
    lake = Lake.open(str(tmp_path / "lake"), postgresql_url)
    try:
        for number in range(40):
            _ingest(lake, f"small-{number}", threads=3, spans_per_thread=50)
        for number in range(4):
            _ingest(lake, f"large-{number}", threads=20, spans_per_thread=10_000)
    finally:
        lake.close()
    monkeypatch.setenv("FLIGHTSRV_SERVE_MAX_DB_CONNECTIONS", str(MAX_CONNECTIONS))
    with running_server(str(tmp_path / "lake"), postgresql_url, tmp_path / "log") as server:
        yield server


def _digest(client: QueryClient, process_id: str) -> str:
    digest = hashlib.blake2b()
    with client.trace_chunks(process_id) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def _peak_bytes(server: ServerProcess) -> int:
    """The most memory that the server ever had resident."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def test_a_hundred_small_traces_and_ten_large_ones(server: ServerProcess, postgresql_url: str) -> None:
    """The first of each process builds what the others wait for; nothing is cached as yet."""
    wanted = [f"small-{number % 40}" for number in range(NB_SMALL_TRACES)]
    wanted += [f"large-{number % 4}" for number in range(NB_LARGE_TRACES)]
    watch = ConnectionWatch(postgresql_url)
    with ExitStack() as stack:
        clients = [stack.enter_context(flightsrv.client.connect(server.url)) for _ in range(20)]
        _digest(clients[0], "small-0")
        before_bytes = psutil.Process(server.process.pid).memory_info().rss

        def trace(number: int) -> tuple[str, str]:
            return wanted[number], _digest(clients[number % len(clients)], wanted[number])

        with watch.watching(), ThreadPoolExecutor(len(wanted)) as pool:
            traces = list(pool.map(trace, range(len(wanted))))
        expected = {process_id: _digest(clients[0], process_id) for process_id in set(wanted)}
    assert [digest for _, digest in traces] == [expected[process_id] for process_id, _ in traces]
    assert _peak_bytes(server) - before_bytes < MAX_EXTRA_BYTES
    assert watch.most <= MAX_CONNECTIONS
