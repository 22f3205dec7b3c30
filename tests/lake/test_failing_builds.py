"""Partitions that cannot be made, or not be removed, and streams that cannot be read: what that does to the others."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.model import examples
from tests.model.examples import begin, calls, end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place, local_place
from tests.model.strategies import WHOLE_LIFE
from tests.model.telemetry import Process, cut
from tests.model.trace_reader import read_trace
from udtf.errors import CorruptData, StoreUnavailable
from udtf.lake import runs
from udtf.lake.lake import THREAD_SPANS, Lake
from udtf.lake.settings import LakeSettings
from udtf.time_range import WHOLE_LIFE as ANY_TIME

T = TypeVar("T")
TIMEOUT_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return local_place(tmp_path / "lake")


def _ingest(lake: Lake, process: Process) -> None:
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [])])


class _AtOnce:
    """An executor whose jobs are done before anybody can look at their futures."""

    def submit(self, job: Callable[..., T], *arguments: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(job(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, *, cancel_futures: bool) -> None:
        pass


def test_builds_that_fail_at_once_keep_nobody_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ones are built."""
    lake = place.open()
    process = examples.process(examples.thread(*calls(5)))
    _ingest(lake, process)
    for blob in place.blobs():
        (Path(place.uri) / blob).unlink()
    monkeypatch.setattr(lake.jit, "_builds", _AtOnce())
    view = lake.view(THREAD_SPANS, lake.telemetry_of(process.process_id), ANY_TIME)
    failures: list[Exception] = []

    def build() -> None:
        for _ in range(2):
            try:
                view.build(view.streams[0].plan.runs[0]).result(TIMEOUT_S)
            except CorruptData as error:
                failures.append(error)

    builder = threading.Thread(target=build, daemon=True)
    builder.start()
    builder.join(TIMEOUT_S)
    assert len(failures) == 2
    lake.close()


def test_a_partition_without_rows_is_built_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of ends alone has none."""
    monkeypatch.setattr(runs, "RUN_EVENTS", 2)
    process = examples.process(examples.thread(begin(0, "a"), begin(5, "b"), end(10, "b"), end(20, "a")))
    lake = place.open()
    ingest_process(lake, process)
    blocks = cut(process.streams[0], [2])
    ingest_blocks(lake, blocks)
    Reader.of(lake).trace_bytes(process.process_id, "both", WHOLE_LIFE)
    lake.close()
    again = place.open()
    for path in place.parquet_files():
        (Path(place.uri) / path).unlink()
    trace = Reader.of(again).trace(process.process_id, "both", WHOLE_LIFE)
    assert_trace_is_model(trace, process, blocks, "both", WHOLE_LIFE)
    again.close()


def test_files_that_cannot_be_removed_fail_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left for later."""
    lake = place.open()
    process = examples.process(examples.thread(*calls(10)))
    ingest_process(lake, process)
    blocks = cut(process.streams[0], [20])

    def refuse(key: str) -> None:
        raise StoreUnavailable("the store lets nobody remove anything")

    monkeypatch.setattr(lake.objects, "delete", refuse)
    for block in blocks:
        ingest_blocks(lake, [block])
        reader = Reader.of(lake)
        trace = reader.trace(process.process_id, "both", WHOLE_LIFE)
        assert reader.messages == []
    assert_trace_is_model(trace, process, blocks, "both", WHOLE_LIFE)
    assert len(place.parquet_files()) == 2
    lake.close()


def test_a_stream_without_events_may_fail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all others: it is told of, and they are there."""
    lake = place.open()
    idle, busy = examples.thread(name="idle"), examples.thread(*calls(5), name="busy")
    process = examples.process(idle, busy)
    _ingest(lake, process)
    reader = Reader.of(lake)
    reader.trace_bytes(process.process_id, "both", WHOLE_LIFE)
    lake.close()
    lake = Lake.open(place.uri, settings=LakeSettings())
    really, asked = lake.metadata.summaries, []

    def fail_first(ids: Any) -> Any:
        asked.append(ids)
        if len(asked) == 1:
            raise StoreUnavailable("the metadata database does not answer as it should")
        return really(ids)

    monkeypatch.setattr(lake.metadata, "summaries", fail_first)
    reader = Reader.of(lake)
    trace = read_trace(reader.trace_bytes(process.process_id, "both", WHOLE_LIFE))
    assert [message["type"] for message in reader.messages] == ["thread_failed"]
    assert len(trace.thread_tracks) == 2
    lake.close()
