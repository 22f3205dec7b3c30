"""Small objects become one, and nothing else changes."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from unittest.mock import patch

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.lake import packing
from udtf.lake.history import MAX_PARTITION_SEGMENTS
from udtf.lake.lake import Lake
from udtf.lake.metadata import MetadataStore, SegmentRow
from udtf.lake.metadata.upkeep import Upkeep
from udtf.views.catalog import kind_named

NB_LATER = 3
NB_UPLOADS = MAX_PARTITION_SEGMENTS + NB_LATER
UPLOAD_TICKS = 200
PACKED = [MAX_PARTITION_SEGMENTS]
"""One pack, of so many objects."""


def recorded(lake: Lake) -> Process:
    """A process of one complete stretch of small segments, and some more."""
    process = examples.process(examples.thread(begin(0, "main"), *calls(10 * NB_UPLOADS, 1)))
    ingest_process(lake, process)
    for block in cut(process.streams[0], [1 + 40 * number for number in range(1, NB_UPLOADS)]):
        ingest_blocks(lake, [block])
    return process


def rows_of(lake: Lake, process: Process) -> list[SegmentRow]:
    return lake.metadata.segments(process.process_id, range(NB_UPLOADS))


def objects_of(place: Place, process: Process) -> set[str]:
    return {path for path in place.segments() if process.process_id in path}


def trace_of(lake: Lake, process: Process) -> bytes:
    """Made anew."""
    lake.retire(kind_named("thread_spans"), process.process_id, ALL_TIME)
    return Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)


def test_a_complete_stretch_becomes_one_object(place: Place, lake: Lake, reader: Reader) -> None:
    """Traces and the table of blocks are the same; what it came from is deleted later."""
    process = recorded(lake)
    blocks = f"SELECT * FROM blocks WHERE process_id = '{process.process_id}' ORDER BY block_id"
    trace, stored, before = trace_of(lake, process), reader.rows(blocks), objects_of(place, process)
    assert list(lake.packing.pack()) == PACKED
    keys = [row.object_key for row in rows_of(lake, process)]
    assert len(set(keys[:MAX_PARTITION_SEGMENTS])) == 1
    assert set(keys[MAX_PARTITION_SEGMENTS:]) < before
    assert objects_of(place, process) == before | set(keys), "a backup may still need the objects"
    assert lake.removal.collect_garbage() == 0
    assert trace_of(lake, process) == trace
    assert reader.rows(blocks) == stored
    with patch("udtf.lake.removal.time.time_ns", return_value=1 << 62):
        assert lake.removal.collect_garbage() == MAX_PARTITION_SEGMENTS
    assert objects_of(place, process) == set(keys)
    assert trace_of(lake, process) == trace
    assert list(lake.packing.pack_all()) == [], "all is done"


def test_a_partition_is_made_by_one_request(lake: Lake) -> None:
    """Of a pack; without it, by one for each segment."""
    process = recorded(lake)
    requests = []
    for packs in (iter(()), lake.packing.pack()):
        list(packs)
        lake.retire(kind_named("thread_spans"), process.process_id, ALL_TIME)
        before = lake.objects.statistics().requests
        trace_of(lake, process)
        requests.append(lake.objects.statistics().requests - before)
    assert requests[0] - requests[1] == MAX_PARTITION_SEGMENTS - 1


def test_what_a_server_has_left_undone_is_found(place: Place) -> None:
    """It knows only what it took in itself; what needs no packing is left as it is."""
    with closing(place.open()) as lake:
        process = recorded(lake)
        small = examples.process(examples.thread(*calls(1)))
        ingest_process(lake, small)
        ingest_blocks(lake, cut(small.streams[0], []))
    with closing(place.open()) as lake:
        assert list(lake.packing.pack()) == []
        with patch.object(packing, "MAX_PACK_BYTES", 1000):
            assert list(lake.packing.pack_all()) == [], "segments are too large"
        assert list(lake.packing.pack_all()) == PACKED
        assert len({row.object_key for row in rows_of(lake, process)}) == 1 + NB_LATER


def test_a_reader_finds_segments_that_are_packed_meanwhile(lake: Lake) -> None:
    """It has read where they are, and then their objects go."""
    process = recorded(lake)
    lake.packing.kept_s = 0.0
    trace = trace_of(lake, process)
    read = MetadataStore.segments

    def read_and_pack(store: MetadataStore, process_id: str, numbers: Sequence[int]) -> list[SegmentRow]:
        rows = read(store, process_id, numbers)
        with patch.object(MetadataStore, "segments", read):
            list(lake.packing.pack())
            lake.removal.collect_garbage()
        return rows

    with patch.object(MetadataStore, "segments", read_and_pack):
        assert trace_of(lake, process) == trace
    assert len({row.object_key for row in rows_of(lake, process)}) == 1 + NB_LATER


def test_damaged_segments_are_not_packed(place: Place, lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """What is left of the stretch can be read as it is."""
    process = recorded(lake)
    damaged = rows_of(lake, process)[5]
    lake.objects.put(damaged.object_key, b"damaged", durable=False)
    before = objects_of(place, process)
    assert list(lake.packing.pack()) == []
    assert objects_of(place, process) == before
    assert "are not packed" in caplog.text


def test_servers_that_pack_the_same_make_one_pack(place: Place) -> None:
    """Each has read the segments before the other one is done."""
    with closing(place.open()) as one, closing(place.open()) as other:
        process = recorded(one)
        together = threading.Barrier(2)
        move = Upkeep.move_segments

        def move_together(upkeep: Upkeep, *arguments: object) -> bool:
            together.wait(60)
            return move(upkeep, *arguments)  # type: ignore[arg-type]

        with patch.object(Upkeep, "move_segments", move_together), ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda lake: list(lake.packing.pack_all()), (one, other)))
        assert sorted(done) == [[], PACKED]
        assert len(objects_of(place, process)) == NB_UPLOADS + 1, "the other pack is gone"


def test_a_pack_goes_with_the_last_of_its_segments(place: Place, lake: Lake) -> None:
    """Old telemetry goes in smaller parts."""
    process = recorded(lake)
    lake.packing.kept_s = 0.0
    list(lake.packing.pack())
    lake.removal.older_than(at(10 * UPLOAD_TICKS))
    assert len(objects_of(place, process)) == 1 + NB_LATER
    assert trace_of(lake, process)
    lake.removal.older_than(at((MAX_PARTITION_SEGMENTS + 1) * UPLOAD_TICKS))
    assert len(objects_of(place, process)) == NB_LATER
    lake.removal.delete(process.process_id)
    assert objects_of(place, process) == set()
