"""Whatever the network does to requests, a trace is whole and exact."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.latency import Trouble, UnreliableNetwork
from tests.model import examples
from tests.model.examples import calls, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process, timestamp
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.errors import StoreUnavailable
from udtf.lake.lake import Lake
from udtf.lake.metadata import MetadataStore
from udtf.lake.objects import Backend, LocalFolder, ObjectStore, RemoteFolder
from udtf.lake.settings import CacheSettings, LakeSettings, StoreSettings
from udtf.lake.time_range import ALL_TIME as ALWAYS
from udtf.views.catalog import KINDS

NB_TRACES = 40
TROUBLE = Trouble(failed_share=0.05, throttled_share=0.10, seed=20)
NOTHING_KEPT = CacheSettings(file_bytes=0, row_bytes=0, index_bytes=0)
SHORT_PAUSES = StoreSettings(first_pause_s=0.001, max_pause_s=0.05)


def _process(number: int) -> Process:
    threads = (examples.thread(*calls(30 + number), name=f"worker {i}") for i in range(4))
    return examples.process(*threads, examples.tasks(task_begin(1, 1), task_begin(2, 2), task_end(5, 1)))


def _fill(lake: Lake, processes: list[Process]) -> None:
    for process in processes:
        ingest_process(lake, process)
        ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [20, 50])])


def _trace(lake: Lake, process: Process) -> bytes:
    """A thread that fails makes the query fail."""
    life = f"{timestamp(ALL_TIME.begin_ns)}, {timestamp(ALL_TIME.end_ns)}"
    sql = f"SELECT chunk_data FROM perfetto_trace_chunks('{process.process_id}', 'both', {life})"
    return b"".join(Reader.of(lake).query(sql, strict=True).column(0).to_pylist())


def _make_cold(lake: Lake, process: Process) -> None:
    for kind in KINDS:
        lake.retire(kind, process.process_id, ALWAYS)


@pytest.fixture
def processes() -> list[Process]:
    return [_process(number) for number in range(10)]


@pytest.fixture
def expected(processes: list[Process], tmp_path: Path) -> dict[str, bytes]:
    """The traces of the processes, by id, as a lake without trouble gives them."""
    lake = Lake.open(str(tmp_path / "clean"))
    try:
        _fill(lake, processes)
        return {process.process_id: _trace(lake, process) for process in processes}
    finally:
        lake.close()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> UnreliableNetwork:
    """In front of a folder, and of S3."""
    backend: Backend = LocalFolder(tmp_path / "unreliable")
    if request.param == "s3":
        backend = RemoteFolder(request.getfixturevalue("s3_url"), 64, {})
    return UnreliableNetwork(backend, TROUBLE)


@pytest.fixture
def unreliable(network: UnreliableNetwork, tmp_path: Path) -> Iterator[Lake]:
    store = ObjectStore(network, SHORT_PAUSES)
    lake = Lake(store, MetadataStore(f"sqlite:///{tmp_path / 'unreliable.sqlite'}"), LakeSettings(max_builds=4))
    yield lake
    lake.close()


def test_all_of_many_traces_are_exact(unreliable: Lake, processes: list[Process], expected: dict[str, bytes]) -> None:
    """With one request of twenty failing and two throttled, ingestion's too; nothing made, nothing cached, or all."""
    _fill(unreliable, processes)
    forgetful = Lake(unreliable.objects, unreliable.metadata, LakeSettings(max_builds=4, caches=NOTHING_KEPT))

    def trace(number: int) -> bool:
        process = processes[number % len(processes)]
        how = random.Random(number).choice(["as it is", "nothing kept", "nothing made"])
        if how == "nothing made":
            _make_cold(unreliable, process)
        return _trace(forgetful if how == "nothing kept" else unreliable, process) == expected[process.process_id]

    with ThreadPoolExecutor(3) as pool:
        exact = list(pool.map(trace, range(NB_TRACES)))
    assert exact.count(True) == NB_TRACES
    statistics = unreliable.objects.statistics()
    assert 0.05 < statistics.retries / statistics.requests < 0.30


def test_a_store_that_never_answers_fails_a_strict_trace(tmp_path: Path) -> None:
    """And says that it is unavailable, not that telemetry is corrupt; otherwise each thread says so on its track."""
    process = _process(0)
    lake = Lake.open(str(tmp_path))
    _fill(lake, [process])
    lake.close()
    dead = ObjectStore(
        UnreliableNetwork(LocalFolder(tmp_path), Trouble(throttled_share=1)),
        StoreSettings(max_tries=2, first_pause_s=0),
    )
    lake = Lake(dead, MetadataStore(f"sqlite:///{tmp_path / 'metadata.db'}"))
    try:
        with pytest.raises(StoreUnavailable, match="503 Slow Down"):
            _trace(lake, process)
        reader = Reader.of(lake)
        trace = reader.trace(process.process_id, "thread", ALL_TIME)
        assert [len(track.instants) for track in trace.thread_tracks] == [1] * 4
        assert sum(message["type"] == "thread_failed" for message in reader.messages) == 4
    finally:
        lake.close()
