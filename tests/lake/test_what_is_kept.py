"""What a lake keeps in memory of the partitions that it read, and what it does not."""

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
from udtf.lake.objects import LocalFolder, ObjectStore
from udtf.lake.partition_store import EVENT_BYTES
from udtf.lake.settings import CacheSettings, LakeSettings

THREADS = 6
SPANS = 100


@pytest.fixture
def process(lake: Lake) -> Process:
    process = _ingested(lake)
    _trace(lake, process)
    return process


def _ingested(lake: Lake) -> Process:
    """Six threads of a hundred spans, in two blocks each, all in one segment."""
    process = examples.process(*(examples.thread(*calls(SPANS // 2), name=f"t{number}") for number in range(THREADS)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [SPANS])])
    return process


def _trace(lake: Lake, process: Process) -> bytes:
    return Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)


def _sample(lake: Lake, name: str, cache: str) -> float | None:
    return lake.metrics.registry.get_sample_value(name, {"cache": cache})


@pytest.mark.parametrize(("folder", "kept"), [(LocalFolder, 0), (FarFolder, 1)])
def test_files_are_kept_of_remote_stores_alone(folder: type[LocalFolder], kept: int, tmp_path: Path) -> None:
    """The operating system keeps those of a local folder."""
    lake = Lake(ObjectStore(folder(tmp_path)), MetadataStore(f"sqlite:///{tmp_path / 'metadata.db'}"))
    _trace(lake, _ingested(lake))
    entries = _sample(lake, "flightsrv_cache_entries", "file")
    lake.close()
    assert entries == kept


@pytest.mark.parametrize(("room", "kept"), [(0, 1), (-EVENT_BYTES, 0)], ids=["just enough", "one event short"])
def test_rows_are_kept_if_there_is_room_for_all(place: Place, process: Process, room: int, kept: int) -> None:
    """Those of a longer query would push out one another. The trace is the same."""
    row_bytes = THREADS * 2 * SPANS * EVENT_BYTES + room
    lake = Lake.open(place.uri, place.db_url, LakeSettings(caches=CacheSettings(row_bytes=row_bytes)))
    first, second = _trace(lake, process), _trace(lake, process)
    entries = _sample(lake, "flightsrv_cache_entries", "rows")
    hits = _sample(lake, "flightsrv_cache_hits_total", "rows")
    lake.close()
    assert first == second
    assert (entries, hits) == (kept, kept)
