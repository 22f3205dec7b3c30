"""The metadata database sees no more connections than it was promised, and who gets none is told so."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from tests.support.postgresql import ConnectionWatch
from udtf.errors import StoreUnavailable
from udtf.lake.lake import Lake
from udtf.lake.metadata import MetadataStore
from udtf.lake.settings import DatabaseSettings, LakeSettings

NB_QUERIES = 64
MAX_CONNECTIONS = 4


def _ingest(lake: Lake) -> Process:
    process = examples.process(*(examples.thread(*calls(20), name=f"worker {i}") for i in range(5)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [30])])
    return process


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_slow_readers_of_tables_leave_connections_to_others(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """For traces and ingestion, however many they are."""
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else None
    settings = LakeSettings(database=DatabaseSettings(max_connections=4, max_wait_s=0.1))
    lake = Lake.open(str(tmp_path), url, settings)
    try:
        process = _ingest(lake)
        readers = [lake.metadata.scan_segments() for _ in range(4)]
        began = 0
        for pieces in readers:
            with suppress(StoreUnavailable):
                began += len(next(pieces)) > 0
        assert began == 2
        assert Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)
        _ingest(lake)
        for pieces in readers:
            pieces.close()
    finally:
        lake.close()


@pytest.mark.postgresql
def test_many_queries_share_few_connections(postgresql_url: str, tmp_path: Path) -> None:
    """Traces that build partitions, and statements over tables, all at once."""
    settings = LakeSettings(database=DatabaseSettings(max_connections=MAX_CONNECTIONS))
    lake = Lake.open(str(tmp_path), postgresql_url, settings)
    watch = ConnectionWatch(postgresql_url)
    try:
        processes = [_ingest(lake) for _ in range(8)]
        reader = Reader.of(lake)
        first = {
            process.process_id: reader.trace_bytes(process.process_id, "both", ALL_TIME) for process in processes[:2]
        }

        def query(number: int) -> bool:
            process_id = processes[number % len(processes)].process_id
            if number % 4 == 0:
                return len(Reader(reader.engine).rows("SELECT * FROM processes")) == len(processes)
            trace = Reader(reader.engine).trace_bytes(process_id, "both", ALL_TIME)
            return trace == first.get(process_id, trace)

        with watch.watching(), ThreadPoolExecutor(NB_QUERIES) as pool:
            assert all(pool.map(query, range(NB_QUERIES)))
    finally:
        lake.close()
    assert watch.looks > 10
    assert 1 <= watch.most <= MAX_CONNECTIONS


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_who_gets_no_connection_is_told(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    """After a while, in words for a caller; and once one is free, all goes on."""
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else None
    settings = LakeSettings(database=DatabaseSettings(max_connections=1, max_wait_s=0.1))
    lake = Lake.open(str(tmp_path), url, settings)
    try:
        process = _ingest(lake)
        reader = Reader.of(lake)
        pieces = lake.metadata.scan_processes()
        next(pieces)
        with pytest.raises(StoreUnavailable, match=r"1 scans of metadata tables are running, .* none ended for 0\.1 s"):
            reader.rows("SELECT * FROM processes")
        with pytest.raises(StoreUnavailable, match=r"all 1 connections .* were in use for 0\.1 s"):
            reader.trace_bytes(process.process_id, "both", ALL_TIME)
        pieces.close()
        assert len(reader.rows("SELECT * FROM processes")) == 1
    finally:
        lake.close()


@pytest.mark.postgresql
def test_a_database_that_goes_away_is_unavailable(postgresql_url: str, tmp_path: Path) -> None:
    """Its password, host and folders are nobody's business."""
    place = local_place(tmp_path / "lake", postgresql_url)
    lake = place.open()
    try:
        nowhere = postgresql_url.replace("/test_", "/missing_")
        with pytest.raises(StoreUnavailable) as failure:
            MetadataStore(nowhere)
        assert "missing_" not in str(failure.value)
        assert place.uri not in str(failure.value)
    finally:
        lake.close()
