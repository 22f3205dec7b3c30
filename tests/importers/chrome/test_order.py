"""Sort indexes and labels of processes and threads in a file are in the trace that comes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from flightsrv.importers.chrome import read_chrome_trace
from tests.importers.chrome.spans_of import ingest
from tests.model.lake import Reader
from tests.model.strategies import ALL_TIME
from tests.support.trace_processor import TraceProcessor
from udtf.lake.lake import Lake
from udtf.perfetto.perfetto_trace_pb2 import Trace, TrackDescriptor

SPANS = [{"ph": "X", "pid": pid, "tid": 10 * pid + i, "ts": 1, "dur": 1, "name": "a"} for pid in (1, 2) for i in (0, 1)]


def _named(name: str, value: Any, **ids: int) -> dict[str, Any]:
    return {"ph": "M", "name": name, "args": {name.rpartition("process_")[2].rpartition("thread_")[2]: value}, **ids}


def _trace(lake: Lake, path: Path, events: list[dict[str, Any]]) -> bytes:
    path.write_text(json.dumps(events))
    return Reader.of(lake).trace_bytes(",".join(ingest(lake, read_chrome_trace(path))), "all", ALL_TIME)


def _descriptors(data: bytes) -> list[Any]:
    packets = Trace.FromString(data).packet
    return [packet.track_descriptor for packet in packets if packet.HasField("track_descriptor")]


def test_ranks_and_labels_are_those_of_the_file(lake: Lake, tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """Those without one have none, as those whose index is no number."""
    data = _trace(
        lake,
        tmp_path / "trace.json",
        [
            *SPANS,
            _named("process_sort_index", -3, pid=1),
            _named("process_labels", "first,blue", pid=1),
            _named("thread_sort_index", 2.0, pid=1, tid=10),
            _named("thread_sort_index", 1, pid=1, tid=11),
            _named("thread_sort_index", "many", pid=2, tid=20),
            _named("thread_sort_index", 1 << 31, pid=2, tid=21),
        ],
    )
    descriptors = _descriptors(data)
    (root,) = (each for each in descriptors if each.HasField("uuid") and each.uuid == 0)
    assert root.process_ordering == TrackDescriptor.PROCESS_ORDERING_EXPLICIT
    assert root.thread_ordering == TrackDescriptor.THREAD_ORDERING_EXPLICIT
    ranks = {
        each.thread.tid or each.process.pid: each.sibling_order_rank
        for each in descriptors
        if each.HasField("sibling_order_rank")
    }
    assert ranks == {1: -3, 10: 2, 11: 1}
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    assert len(loaded.slices()) == 4
    labels = (
        "SELECT extract_arg(arg_set_id, 'chrome.process_label[0]') AS label FROM process WHERE pid > 0 ORDER BY pid"
    )
    assert [row["label"] for row in loaded.query(labels)] == ["first,blue", None]


@pytest.mark.parametrize("others", [[], [_named("thread_sort_index", "x", pid=1, tid=10)]])
def test_without_sort_indexes_there_are_no_ranks(lake: Lake, tmp_path: Path, others: list[dict[str, Any]]) -> None:
    descriptors = _descriptors(_trace(lake, tmp_path / "trace.json", [*SPANS, *others]))
    assert descriptors
    assert not any(each.uuid == 0 or each.HasField("sibling_order_rank") for each in descriptors)
