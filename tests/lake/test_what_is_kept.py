"""What a lake keeps in memory of the partitions that it read, and what it does not."""

from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import FarFolder, Place, StatementCounter
from tests.model.strategies import WHOLE_LIFE
from tests.model.telemetry import Process, cut
from udtf.lake import process_view
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
    """Six threads of a hundred spans, in two blocks each."""
    process = examples.process(*(examples.thread(*calls(SPANS // 2), name=f"t{number}") for number in range(THREADS)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [SPANS])])
    return process


def _trace(lake: Lake, process: Process) -> bytes:
    return Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE)


@pytest.mark.parametrize(("folder", "kept"), [(LocalFolder, 0), (FarFolder, THREADS)])
def test_files_are_kept_of_remote_stores_alone(folder: type[LocalFolder], kept: int, tmp_path: Path) -> None:
    """The operating system keeps those of a local folder."""
    lake = Lake(ObjectStore(folder(tmp_path)), MetadataStore(f"sqlite:///{tmp_path / 'metadata.db'}"))
    _trace(lake, _ingested(lake))
    entries = lake.partitions.files.statistics().entries
    lake.close()
    assert entries == kept


@pytest.mark.parametrize(("room", "kept"), [(0, THREADS), (-1, 0)], ids=["just enough", "one byte short"])
def test_rows_are_kept_if_there_is_room_for_all(place: Place, process: Process, room: int, kept: int) -> None:
    """Those of a longer query would push out one another. The trace is the same."""
    row_bytes = THREADS * 2 * SPANS * EVENT_BYTES + room
    lake = Lake.open(place.uri, place.db_url, LakeSettings(caches=CacheSettings(row_bytes=row_bytes)))
    first, second = _trace(lake, process), _trace(lake, process)
    statistics = lake.partitions.rows.statistics()
    lake.close()
    assert first == second
    assert (statistics.entries, statistics.hits) == (kept, kept)


def test_summaries_are_read_for_many_streams_at_once(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many statements as there are groups, whatever the number of streams; the trace is the same."""
    traces, statements = set(), []
    for at_once in (1, 4, 64):
        monkeypatch.setattr(process_view, "SUMMARIES_AT_ONCE", at_once)
        lake = Lake.open(place.uri, place.db_url)
        with StatementCounter() as counter:
            traces.add(_trace(lake, process))
        lake.close()
        statements.append(sum("summary" in statement for statement in counter.statements))
    assert len(traces) == 1
    assert statements == [6, 2, 1]
