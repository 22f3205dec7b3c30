"""What a server that died left behind goes, and nothing else."""

import time

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place
from tests.model.strategies import WHOLE_LIFE
from tests.model.telemetry import cut
from udtf.lake.lake import Lake
from udtf.lake.orphans import MIN_AGE_S, delete_orphans

ORPHANS = ["views/thread_spans/stream/finished.parquet", "views/async_events/process/.partial.parquet.12"]


def test_only_old_files_without_a_row_are_deleted(place: Place, lake: Lake) -> None:
    """A young one may get its row yet; blobs and visible partitions are none of it."""
    process = examples.process(*(examples.thread(*calls(10), name=f"worker {i}") for i in range(3)))
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [9])])
    expected = Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE)
    partitions, blobs = place.parquet_files(), place.segments()
    for key in ORPHANS:
        lake.objects.put(key, b"bytes", durable=False)

    assert delete_orphans(lake.objects, lake.metadata) == 0
    assert set(lake.objects.written_at("views")) == {*partitions, *ORPHANS}
    assert delete_orphans(lake.objects, lake.metadata, time.time() + MIN_AGE_S + 60) == len(ORPHANS)
    assert sorted(lake.objects.written_at("views")) == partitions
    assert place.segments() == blobs
    assert Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE) == expected


def test_an_empty_lake_has_no_orphans(lake: Lake) -> None:
    """There is not even a folder."""
    assert delete_orphans(lake.objects, lake.metadata, time.time() + MIN_AGE_S + 60) == 0
