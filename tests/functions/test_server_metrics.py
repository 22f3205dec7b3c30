"""The metrics of a lake as a table, and what one query adds to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import FarFolder, Place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.lake.lake import Lake
from udtf.lake.metadata import MetadataStore
from udtf.lake.objects import ObjectStore, TransientError
from udtf.lake.settings import StoreSettings
from udtf.observability.metrics import Metrics, timed
from udtf.sql.engine import QueryContext, QueryEngine


@pytest.fixture
def own_lake(place: Place) -> Iterator[Lake]:
    """A lake that nobody else has open, so that its counts begin at 0."""
    folder = Path(place.uri)
    folder.mkdir(parents=True, exist_ok=True)
    opened = Lake(ObjectStore(FarFolder(folder)), MetadataStore(f"sqlite:///{folder / 'metadata.db'}"))
    yield opened
    opened.close()


@pytest.fixture
def process(own_lake: Lake) -> Process:
    process = examples.process(*(examples.thread(*calls(10), name=f"t{number}") for number in range(3)))
    ingest_process(own_lake, process)
    blocks = [block for stream in process.streams for block in cut(stream, [10])]
    for upload in (blocks[::2], blocks[1::2]):
        ingest_blocks(own_lake, upload)
    return process


def counts(reader: Reader) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    table = reader.query("SELECT name, labels, value FROM server_metrics()").to_pylist()
    return {(row["name"], *(value for _, value in row["labels"])): row["value"] for row in table}


def test_a_trace_is_counted_where_it_went(own_lake: Lake, process: Process) -> None:
    """Cold it builds a partition of all threads from each of two segments; then it reads those from the cache of files,
    and then from that of rows."""
    reader = Reader.of(own_lake)
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    cold = counts(reader)
    assert cold["flightsrv_trace_seconds_count",] == 1
    assert cold["flightsrv_view_seconds_count", "thread_spans"] == 1
    assert cold["flightsrv_partition_build_seconds_count", "thread_spans"] == 2
    assert cold["flightsrv_store_read_seconds_count",] == 2
    assert cold["flightsrv_cache_hits_total", "file"] == 0
    assert cold["flightsrv_cache_misses_total", "file"] == 0
    assert cold["flightsrv_builds_under_way",] == 0
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    warm = counts(reader)
    assert warm["flightsrv_trace_seconds_count",] == 2
    assert warm["flightsrv_partition_build_seconds_count", "thread_spans"] == 2
    assert warm["flightsrv_store_read_bytes_total",] == cold["flightsrv_store_read_bytes_total",] > 0
    assert warm["flightsrv_cache_hits_total", "rows"] == 0
    assert warm["flightsrv_cache_hits_total", "file"] == 2
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    assert counts(reader)["flightsrv_cache_hits_total", "rows"] == 2
    assert counts(reader)["flightsrv_cache_hits_total", "file"] == 2


def test_files_that_are_not_in_the_cache_are_misses(own_lake: Lake, process: Process) -> None:
    """And are read from the store."""
    reader = Reader.of(own_lake)
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    other_lake = Lake(own_lake.objects, own_lake.metadata)
    reader = Reader.of(other_lake)
    reader.trace_bytes(process.process_id, "both", ALL_TIME)
    after = counts(reader)
    for name in (("flightsrv_cache_misses_total", "file"), ("flightsrv_store_read_seconds_count",)):
        assert after[name] == 2


class Throttling(FarFolder):
    """Each object asks for patience when it is read for the first time, in whole or in part."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._asked: set[str] = set()

    def read(self, key: str) -> bytes:
        if key not in self._asked:
            self._asked.add(key)
            raise TransientError("slow down")
        return super().read(key)

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        if key not in self._asked:
            self._asked.add(key)
            raise TransientError("slow down")
        return super().read_range(key, begin, end)


def test_requests_that_are_tried_again_are_counted(place: Place, own_lake: Lake, process: Process) -> None:
    """For the query and for all; each object is read once."""
    objects = ObjectStore(Throttling(Path(place.uri)), StoreSettings(first_pause_s=0.001))
    lake = Lake(objects, own_lake.metadata)
    tally = lake.metrics.tally()
    sql = f"SELECT * FROM process_spans('{process.process_id}', 'thread')"
    list(QueryEngine(lake).plan(sql, QueryContext(tally=tally)).batches())
    assert (tally.amounts.store_reads, tally.amounts.store_retries) == (2, 2)
    assert lake.metrics.registry.get_sample_value("flightsrv_store_retries_total") == 2


def test_lakes_share_no_counts(own_lake: Lake, process: Process, lake: Lake) -> None:
    """Two of them in one process are two servers."""
    Reader.of(own_lake).trace_bytes(process.process_id, "both", ALL_TIME)
    traces = lake.metrics.registry.get_sample_value("flightsrv_trace_seconds_count")
    Reader.of(own_lake).trace_bytes(process.process_id, "both", ALL_TIME)
    assert lake.metrics.registry.get_sample_value("flightsrv_trace_seconds_count") == traces


def test_the_table_can_be_asked_for_a_rate(own_lake: Lake, process: Process) -> None:
    """Labels are a map, kinds are those of Prometheus, and every metric explains itself."""
    reader = Reader.of(own_lake)
    for _ in ("cold", "warm"):
        reader.trace_bytes(process.process_id, "both", ALL_TIME)
    [row] = reader.rows(
        "SELECT sum(value) FILTER (WHERE name = 'flightsrv_cache_hits_total') / sum(value) AS rate "
        "FROM server_metrics() WHERE labels['cache'] = 'file' AND kind = 'counter'"
    )
    assert row == {"rate": 1.0}
    rows = reader.rows("SELECT DISTINCT kind, help = '' AS mute FROM server_metrics() ORDER BY kind")
    assert [(row["kind"], row["mute"]) for row in rows] == [("counter", False), ("gauge", False), ("histogram", False)]


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_tally_adds_up_one_query_and_the_metrics_all() -> None:
    """To the millisecond; what did not happen is not in the line."""
    clock = Clock()
    metrics = Metrics(clock)

    def load() -> bytes:
        clock.now_s += 0.25
        return b"12345"

    first, second = metrics.tally(), metrics.tally()
    assert first.read(load) == b"12345"
    first.read(load)
    first.partition_built("thread_spans", 0.003)
    first.rows_asked(hit=False)
    first.file_asked(hit=False)
    first.store_retried()
    second.read(load)
    assert str(first.amounts) == (
        "partitions_built=1, builds_ms=3.0, row_misses=1, file_misses=1, store_reads=2, store_retries=1, "
        "store_ms=500.0, store_bytes=10"
    )
    assert str(metrics.tally().amounts) == ""
    sample = metrics.registry.get_sample_value
    assert sample("flightsrv_store_read_seconds_sum") == 0.75
    assert sample("flightsrv_store_read_seconds_bucket", {"le": "0.3"}) == 3
    assert sample("flightsrv_store_read_seconds_bucket", {"le": "0.1"}) == 0


def test_the_time_until_an_item_is_taken_is_not_counted() -> None:
    """Only the time that making it took."""
    clock = Clock()
    told: list[float] = []

    def items() -> Iterator[int]:
        for number in range(3):
            clock.now_s += 1
            yield number
        clock.now_s += 0.5

    for _ in timed(items(), clock, told.append):
        clock.now_s += 1000
        assert told == []
    assert told == [3.5]
