"""Telemetry goes whole: objects, rows and partitions, and what is left is as exact as before."""

import time
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place
from tests.model.telemetry import Process, cut
from udtf.errors import NotFound, Removed
from udtf.lake import history
from udtf.lake.lake import Lake
from udtf.lake.metadata.access import Access
from udtf.views.catalog import kind_named

UPLOADS = 20
UPLOAD_TICKS = 200


def long_process() -> Process:
    """One thread in an outermost call that never ends, with ten calls, of two spans each, every 200 ticks."""
    events = [begin(0, "main"), *calls(10 * UPLOADS, 1)]
    return examples.process(examples.thread(*events))


def recorded(lake: Lake) -> Process:
    """A process that has been recording for twenty uploads."""
    process = long_process()
    ingest_process(lake, process)
    for block in cut(process.streams[0], [1 + 40 * number for number in range(1, UPLOADS)]):
        ingest_blocks(lake, [block])
    return process


def names_and_begins(reader: Reader, process: Process) -> list[tuple[object, object]]:
    rows = reader.rows(f"SELECT name, begin FROM process_spans('{process.process_id}', 'thread') ORDER BY begin, depth")
    return [(row["name"], row["begin"]) for row in rows]


def objects_of(place: Place, process: Process) -> list[str]:
    return [path for path in place.list_files() if process.process_id in path]


def test_a_process_goes_whole(place: Place, lake: Lake, reader: Reader) -> None:
    """Its objects, rows and partitions; that of another process stays."""
    gone, kept = recorded(lake), recorded(lake)
    before = names_and_begins(reader, kept)
    names_and_begins(reader, gone)
    lake.removal.delete(gone.process_id)
    assert objects_of(place, gone) == []
    for table in ("processes", "streams", "blocks", "list_partitions()"):
        assert reader.rows(f"SELECT 1 FROM {table} WHERE process_id = '{gone.process_id}'") == []
    with pytest.raises(NotFound):
        lake.removal.delete(gone.process_id)
    assert names_and_begins(reader, kept) == before


def test_what_was_removed_can_be_sent_again(lake: Lake, reader: Reader) -> None:
    """A sender that goes on is told to describe its process, and then begins anew."""
    process = recorded(lake)
    expected = names_and_begins(reader, process)
    lake.removal.delete(process.process_id)
    with pytest.raises(Exception, match="unknown"):
        ingest_blocks(lake, cut(process.streams[0], []))
    ingest_process(lake, process)
    ingest_blocks(lake, cut(process.streams[0], []))
    assert names_and_begins(reader, process) == expected


def test_the_oldest_part_of_a_running_process_goes(place: Place, lake: Lake, reader: Reader) -> None:
    """In whole stretches; the outermost call, which began there and goes on, is still shown with its true begin."""
    process = recorded(lake)
    names_and_begins(reader, process)
    before = len(objects_of(place, process))
    removed = lake.removal.older_than(at(10 * UPLOAD_TICKS))
    assert removed.parts == {process.process_id: history.FAN_OUT}
    assert len(objects_of(place, process)) < before
    spans = names_and_begins(reader, process)
    assert spans[0] == ("main", at(0))
    assert spans[1][1] == at(1 + history.FAN_OUT * UPLOAD_TICKS)
    assert len(spans) == 1 + 20 * (UPLOADS - history.FAN_OUT)
    assert {message["type"] for message in reader.messages} >= {"telemetry_removed"}


def test_a_dry_run_says_the_same_and_removes_nothing(place: Place, lake: Lake, reader: Reader) -> None:
    """Of an ended process and of one that goes on."""
    recorded(lake)
    files = place.list_files()
    for time_ns in (at(10 * UPLOAD_TICKS), at(10**9)):
        told = lake.removal.older_than(time_ns, dry_run=True)
        assert place.list_files() == files
        assert told.parts or told.processes
    assert lake.removal.older_than(at(10**9)) == told
    assert [path for path in place.list_files() if path.startswith("segments/")] == []


def test_a_size_is_kept_by_removing_the_oldest(lake: Lake, reader: Reader) -> None:
    """First the older process, then the oldest part of the other one."""
    older, newer = recorded(lake), recorded(lake)
    all_bytes = lake.metadata.upkeep.lake_bytes()
    removed = lake.removal.down_to(all_bytes * 2 // 5)
    assert lake.metadata.upkeep.lake_bytes() <= all_bytes * 2 // 5
    assert len({*removed.processes, *removed.parts} & {older.process_id, newer.process_id}) == 2
    assert lake.removal.down_to(all_bytes).size_bytes == 0


def test_a_query_that_runs_meanwhile_is_told(lake: Lake, reader: Reader) -> None:
    """What it has planned to read is gone: it says so, rather than that something is damaged."""
    process = recorded(lake)
    view = lake.view(kind_named("thread_spans"), lake.telemetry_of(process.process_id))
    lake.removal.older_than(at(10 * UPLOAD_TICKS))
    with pytest.raises(Removed, match="oldest telemetry"):
        list(view.windows())
    view = lake.view(kind_named("thread_spans"), lake.telemetry_of(process.process_id))
    lake.removal.delete(process.process_id)
    with pytest.raises(Removed, match="has been removed"):
        list(view.windows())


@pytest.mark.parametrize("step", ["throw_away", "objects"])
def test_a_crash_leaves_nothing_for_ever(place: Place, step: str) -> None:
    """Killed before rows are committed, all is there; after that, the next removal deletes the objects."""
    lake = place.open()
    process = recorded(lake)
    before = objects_of(place, process)
    target = (Access, "throw_away_selected") if step == "throw_away" else (type(lake.objects), "try_delete")
    with patch.object(*target, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        lake.removal.delete(process.process_id)
    lake.close()
    again = place.open()
    try:
        assert objects_of(place, process) == before
        if step == "throw_away":
            assert again.metadata.history(process.process_id).nb_segments == UPLOADS
        else:
            assert again.removal.collect_garbage() == len(before)
            assert objects_of(place, process) == []
    finally:
        again.close()


def test_objects_without_a_row_are_deleted_when_they_are_old(place: Place, lake: Lake) -> None:
    """Of uploads and of partitions, whole and half written; what a row names stays."""
    process = recorded(lake)
    kept = place.list_files()
    for key in (f"segments/{process.process_id}/orphan", "views/other/thread_spans/orphan.parquet"):
        lake.objects.put(key, b"left behind", durable=False)
    assert lake.removal.delete_orphans() == 0
    assert lake.removal.delete_orphans(time.time() + 7200) == 2
    assert place.list_files() == kept


def test_half_written_files_are_deleted_when_they_are_old(tmp_path: Path) -> None:
    """A writer that is killed leaves a file whose name begins with a dot."""
    lake = Lake.open(str(tmp_path))
    process = recorded(lake)
    partial = tmp_path / "segments" / process.process_id / ".half.0123"
    partial.write_bytes(b"half")
    assert lake.removal.delete_orphans(time.time() + 7200) == 1
    assert not partial.exists()
    lake.close()
