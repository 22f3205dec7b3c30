"""A file too large for the cache is read in ranges: what is asked for, and little more."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from udtf.lake.ranged_file import RangedFile, merged

from benchmarks.latency import Trouble, UnreliableNetwork
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place
from tests.model.strategies import WHOLE_LIFE
from tests.model.telemetry import Process, cut
from udtf.errors import CorruptData
from udtf.lake import partition_file, ranged_file
from udtf.lake.lake import Lake
from udtf.lake.metadata import MetadataStore
from udtf.lake.objects import LocalFolder, ObjectStore
from udtf.lake.partition_file import read_footer, read_partition, read_partition_in_ranges, write_partition
from udtf.lake.settings import CacheSettings, LakeSettings

ALL_IN_RANGES = LakeSettings(caches=CacheSettings(max_file_bytes=0))

TABLE = pa.table(
    {
        "wide": np.random.default_rng(1).integers(0, 1 << 60, 10_000),
        "first": np.arange(10_000),
        "last": np.arange(10_000) % 7,
    }
)


@pytest.fixture
def many_row_groups(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of twenty row groups."""
    monkeypatch.setattr(partition_file, "ROW_GROUP_ROWS", 500)
    return write_partition(TABLE)


class Fetches:
    """Ranges of some bytes, and a list of those that were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ranges: list[tuple[int, int]] = []

    def __call__(self, begin: int, end: int) -> bytes:
        self.ranges.append((begin, end))
        return self.data[begin:end]

    def file(self) -> RangedFile:
        return RangedFile(self, len(self.data))


@pytest.mark.parametrize("window_bytes", [1, 20_000, 4 << 20])
@pytest.mark.parametrize("columns", [["wide"], ["first"], ["last", "first"], ["wide", "first", "last"]])
def test_ranges_give_the_same_rows(
    many_row_groups: bytes, monkeypatch: pytest.MonkeyPatch, window_bytes: int, columns: list[str]
) -> None:
    """In the same batches as the whole file does."""
    monkeypatch.setattr(partition_file, "WINDOW_BYTES", window_bytes)
    file = Fetches(many_row_groups).file()
    batches = list(read_partition_in_ranges(file, read_footer(file), columns))
    assert batches == list(read_partition(many_row_groups, columns))


def test_columns_that_are_not_asked_for_are_not_fetched(
    many_row_groups: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight bytes of each row stay where they are; each window is one request for each of its row groups."""
    monkeypatch.setattr(ranged_file, "HOLE_BYTES", 100)
    fetches = Fetches(many_row_groups)
    footer = read_footer(fetches.file())
    fetches.ranges.clear()
    for _ in read_partition_in_ranges(fetches.file(), footer, ["first", "last"]):
        pass
    assert sum(end - begin for begin, end in fetches.ranges) < len(many_row_groups) - 8 * len(TABLE)
    assert len(fetches.ranges) == 20


def test_a_reader_that_stops_early_fetches_no_more(many_row_groups: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups are fetched when it is their turn."""
    monkeypatch.setattr(partition_file, "WINDOW_BYTES", 1)
    fetches = Fetches(many_row_groups)
    footer = read_footer(fetches.file())
    fetches.ranges.clear()
    rows = read_partition_in_ranges(fetches.file(), footer, ["wide"])
    assert next(rows).num_rows == 500
    assert len(fetches.ranges) == 1


def test_a_file_that_was_cut_is_corrupt(many_row_groups: bytes) -> None:
    """It ends before the end that its row knows."""
    footer = read_footer(Fetches(many_row_groups).file())
    file = RangedFile(Fetches(many_row_groups[:10_000]), len(many_row_groups))
    with pytest.raises(CorruptData):
        list(read_partition_in_ranges(file, footer, ["last"]))
    with pytest.raises(CorruptData):
        read_footer(file)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**6)), max_size=20))
def test_merged_ranges_cover_all_and_are_apart(spans: list[tuple[int, int]]) -> None:
    """In order; what lies between two of them is more than a request is worth."""
    ranges = [(begin, begin + size) for begin, size in spans]
    result = merged(ranges)
    for begin, end in ranges:
        assert any(first <= begin and end <= last for first, last in result)
    for (_, end), (begin, _) in itertools.pairwise(result):
        assert begin - end > ranged_file.HOLE_BYTES


def _fill(lake: Lake) -> Process:
    process = examples.process(*(examples.thread(*calls(300), name=f"worker {i}") for i in range(3)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [200, 700])])
    return process


def test_traces_are_the_same_without_whole_files(place: Place, lake: Lake) -> None:
    """Wherever the files are."""
    process = _fill(lake)
    expected = Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE)
    ranged = Lake.open(place.uri, place.db_url, ALL_IN_RANGES)
    try:
        assert Reader.of(ranged).trace_bytes(process.process_id, "both", WHOLE_LIFE) == expected
        assert ranged.partitions.files.statistics().misses == 0
        assert ranged.partitions.footers.statistics().entries == len(place.parquet_files())
    finally:
        ranged.close()


def test_a_second_trace_asks_for_no_footers(tmp_path: Path) -> None:
    """A known footer saves a request for each file."""
    network = UnreliableNetwork(LocalFolder(tmp_path), Trouble())
    lake = Lake(ObjectStore(network), MetadataStore(f"sqlite:///{tmp_path / 'lake.sqlite'}"), ALL_IN_RANGES)
    try:
        reader, process = Reader.of(lake), _fill(lake)
        reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
        lake.partitions.footers.clear()
        requests = []
        for _ in range(2):
            before = network.requests
            reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
            requests.append(network.requests - before)
        assert requests == [2 * len(process.streams), len(process.streams)]
    finally:
        lake.close()


def test_a_lost_large_file_is_made_again(place: Place, lake: Lake) -> None:
    """As a small one is."""
    process = _fill(lake)
    expected = Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE)
    ranged = Lake.open(place.uri, place.db_url, ALL_IN_RANGES)
    try:
        for path in place.parquet_files():
            ranged.objects.delete(path)
        assert Reader.of(ranged).trace_bytes(process.process_id, "both", WHOLE_LIFE) == expected
    finally:
        ranged.close()
