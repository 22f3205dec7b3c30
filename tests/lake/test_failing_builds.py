"""Partitions that cannot be made, or not be removed: what that does to the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import begin, calls, end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place, local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.errors import CorruptData, StoreFull, StoreRefused, StoreUnavailable
from udtf.lake import history
from udtf.lake.lake import Lake
from udtf.views.catalog import kind_named


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return local_place(tmp_path / "lake")


@pytest.fixture
def lake(place: Place) -> Iterator[Lake]:
    opened = place.open()
    yield opened
    opened.close()


def _ingest(lake: Lake, process: Process) -> None:
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [])])


def test_a_build_that_failed_is_tried_again_by_the_next_query(lake: Lake, place: Place) -> None:
    """Its failure is not remembered: once the object is back, so are the rows."""
    process = examples.process(examples.thread(*calls(5)))
    _ingest(lake, process)
    [path] = [Path(place.uri) / segment for segment in place.segments()]
    data = path.read_bytes()
    path.unlink()
    view = lake.view(kind_named("thread_spans"), lake.telemetry_of(process.process_id))
    for _ in range(2):
        with pytest.raises(CorruptData):
            view.materialize()
    path.write_bytes(data)
    assert view.materialize() == 1


def test_a_partition_without_rows_is_built_again(lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of ends alone has none."""
    monkeypatch.setattr(history, "MAX_PARTITION_EVENTS", 2)
    process = examples.process(examples.thread(begin(0, "a"), begin(5, "b"), end(10, "b"), end(20, "a")))
    ingest_process(lake, process)
    blocks = cut(process.streams[0], [2])
    for block in blocks:
        ingest_blocks(lake, [block])
    Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)
    assert len(place.parquet_files()) == 2
    for path in place.parquet_files():
        (Path(place.uri) / path).unlink()
    again = place.open()
    trace = Reader.of(again).trace(process.process_id, "both", ALL_TIME)
    again.close()
    assert_trace_is_model(trace, process, blocks, "both", ALL_TIME)
    assert len(place.parquet_files()) == 2


def test_files_that_cannot_be_removed_fail_no_query(lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are garbage until they can be."""
    process = examples.process(examples.thread(*calls(10)))
    _ingest(lake, process)
    reader = Reader.of(lake)
    before = reader.trace_bytes(process.process_id, "both", ALL_TIME)

    def refuse(key: str) -> None:
        raise StoreUnavailable("the store lets nothing be removed")

    retire = f"SELECT nb_partitions FROM retire_partitions('thread_spans', '{process.streams[0].stream_id}', "
    retire += "TIMESTAMP '1970-01-01T00:00:00Z', TIMESTAMP '2200-01-01T00:00:00Z')"
    with monkeypatch.context() as patched:
        patched.setattr(lake.objects, "delete", refuse)
        assert reader.rows(retire) == [{"nb_partitions": 1}]
        assert reader.trace_bytes(process.process_id, "both", ALL_TIME) == before
        assert reader.messages == []
    assert len(place.parquet_files()) == 2
    assert lake.removal.collect_garbage() == 1
    assert len(place.parquet_files()) == 1


@pytest.mark.parametrize("failure", [StoreFull, StoreRefused, StoreUnavailable])
@pytest.mark.parametrize("what", ["file", "row"])
def test_a_partition_that_cannot_be_stored_is_used_all_the_same(
    what: str, failure: type[Exception], lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read needs no room, and leaves nothing behind; it is made again the next time."""
    process = examples.process(examples.thread(*calls(10)))
    _ingest(lake, process)
    reader = Reader.of(lake)

    def refuse(*_: object, **__: object) -> None:
        raise failure("no room left")

    with monkeypatch.context() as patched:
        patched.setattr(*((lake.objects, "put") if what == "file" else (lake.metadata.partitions, "commit")), refuse)
        traces = {reader.trace_bytes(process.process_id, "both", ALL_TIME) for _ in range(2)}
        assert reader.messages == []
    assert place.parquet_files() == []
    traces.add(reader.trace_bytes(process.process_id, "both", ALL_TIME))
    assert len(traces) == 1
    assert len(place.parquet_files()) == 1
