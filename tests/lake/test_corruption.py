"""A stored segment or partition that went bad takes what was in it with it and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import calls
from tests.model.judge import assert_threads_are_model
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place, local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, cut
from tests.model.trace_reader import read_trace
from udtf.errors import CorruptData
from udtf.lake.lake import Lake


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return local_place(tmp_path / "lake")


@pytest.fixture
def lake(place: Place) -> Iterator[Lake]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture
def spoiled(place: Place, lake: Lake) -> tuple[Process, list[Block]]:
    """Fifty threads; the segment of the second was overwritten on disk."""
    process = examples.process(*(examples.thread(*calls(10), name=f"worker {i}") for i in range(50)))
    ingest_process(lake, process)
    blocks = [block for stream in process.streams for block in cut(stream, [15])]
    before: set[str] = set()
    for thread in range(50):
        ingest_blocks(lake, blocks[2 * thread : 2 * thread + 2])
        if thread == 1:
            [victim] = set(place.segments()) - before
        before = set(place.segments())
    path = Path(place.uri) / victim
    path.write_bytes(b"\0" * path.stat().st_size)
    return process, blocks


def test_a_corrupt_segment_leaves_the_other_threads_whole(lake: Lake, spoiled: tuple[Process, list[Block]]) -> None:
    """The trace goes on; the failure is told beside it, with the stream's id."""
    process, blocks = spoiled
    reader = Reader.of(lake)
    data = reader.trace_bytes(process.process_id, "both", ALL_TIME)
    others = [block for block in blocks if block.stream != process.streams[1]]
    trace = read_trace(data)
    failed = process.streams[1]
    trace.tracks = {u: t for u, t in trace.tracks.items() if t.thread_id != failed.thread_id}
    assert_threads_are_model(trace, process, others, "thread", ALL_TIME)
    told = [m for m in reader.messages if m.get("stream_id") == failed.stream_id]
    assert [m["type"] for m in told] == ["thread_failed"]


def test_a_corrupt_segment_shows_on_its_threads_track(lake: Lake, spoiled: tuple[Process, list[Block]]) -> None:
    """Who opens the file sees that something is missing there."""
    process, _ = spoiled
    trace = Reader.of(lake).trace(process.process_id, "both", ALL_TIME)
    [track] = [t for t in trace.thread_tracks if t.thread_id == process.streams[1].thread_id]
    assert track.instants or track.slices


def test_a_corrupt_segment_is_an_error_when_strict(lake: Lake, spoiled: tuple[Process, list[Block]]) -> None:
    """The message names the segment and its process, and no path."""
    process, _ = spoiled
    sql = (
        f"SELECT * FROM perfetto_trace_chunks('{process.process_id}', 'both', "
        "TIMESTAMP '2025-01-01T00:00:00Z', TIMESTAMP '2027-01-01T00:00:00Z')"
    )
    with pytest.raises(CorruptData) as failure:
        Reader.of(lake).query(sql, strict=True)
    assert f"segment 1 of process {process.process_id} is damaged" in str(failure.value)


def test_a_strict_view_of_a_corrupt_segment_is_an_error(
    lake: Lake, place: Place, spoiled: tuple[Process, list[Block]]
) -> None:
    """One that is not strict is told that rows are missing."""
    process, _ = spoiled
    reader = Reader.of(lake)
    sql = f"SELECT * FROM view_instance('thread_spans', '{process.streams[1].stream_id}')"
    with pytest.raises(CorruptData) as failure:
        reader.query(sql, strict=True)
    assert place.uri not in str(failure.value)
    assert reader.rows(sql) == []
    assert [message["type"] for message in reader.messages] == ["thread_failed"]


def test_a_lost_partition_file_does_not_lose_spans(lake: Lake, place: Place) -> None:
    """A partition can be made again from its segments, so its file may go."""
    process = examples.process(examples.thread(*calls(10)))
    ingest_process(lake, process)
    ingest_blocks(lake, cut(process.streams[0], [15]))
    reader = Reader.of(lake)
    sql = f"SELECT * FROM view_instance('thread_spans', '{process.streams[0].stream_id}')"
    before = reader.rows(sql)
    assert place.parquet_files()
    for path in place.parquet_files():
        (Path(place.uri) / path).unlink()
    assert reader.rows(sql) == before
