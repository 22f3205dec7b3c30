"""The naive way shows the same slices as the product, so that their speeds may be compared."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.baseline.trace import CHUNK_BYTES, naive_lake, naive_trace
from benchmarks.lakes import START_NS, Shape, Workbench
from flightsrv import telemetry
from tests.model.lake import Reader
from tests.model.spans import TimeRange
from tests.model.trace_reader import Trace, Track, read_trace
from udtf.lake.block_format import BEGIN, END, AsyncColumns, Events, Scope, scope_array
from udtf.lake.lake import Lake

SHAPE = Shape(threads=10, spans_per_thread=500)
ASYNC_SPANS = 200
LIFE = TimeRange(START_NS, START_NS + 10**15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake of threads and, beside them, async spans that overlap, the last of which never ends."""
    with Workbench(tmp_path_factory.mktemp("baseline")).fresh_copy(SHAPE) as copy:
        lake = Lake.open(str(copy))
        stream = telemetry.async_stream("async-of-it", SHAPE.process_id, "loop", 9_999)
        lake.ingest("streams", telemetry.streams_batch([stream]))
        lake.ingest("blocks", telemetry.blocks_batch(list(telemetry.cut_blocks(stream, _async(), max_events=64))))
        lake.close()
        yield copy


def _async() -> Events:
    """Span k begins at 10 k and ends at 10 k + 35."""
    begins = [(10 * k, BEGIN, k + 1) for k in range(ASYNC_SPANS)]
    ends = [(10 * k + 35, END, k + 1) for k in range(ASYNC_SPANS - 1)]
    ticks, kinds, span_ids = zip(*sorted(begins + ends), strict=True)
    rows = len(ticks)
    return Events(
        np.array(ticks, np.int64),
        np.array(kinds, np.uint8),
        np.array(span_ids, np.int32) % 2,
        scope_array([Scope("fetch", "program.io", "/srv/program/io.py", 12), Scope("parse", "program", "/p.py", 3)]),
        AsyncColumns(np.array(span_ids, np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.uint32)),
    )


@pytest.fixture(scope="module")
def naive_chunks(folder: Path) -> list[bytes]:
    """The chunks of the naive trace, made when nothing is materialized."""
    lake = naive_lake(str(folder))
    try:
        return list(naive_trace(lake, SHAPE.process_id))
    finally:
        lake.close()


@pytest.fixture(scope="module")
def traces(folder: Path, naive_chunks: list[bytes]) -> tuple[Trace, Trace]:
    """The naive trace and the product's."""
    lake = Lake.open(str(folder))
    try:
        product = Reader.of(lake).trace(SHAPE.process_id, "both", LIFE)
    finally:
        lake.close()
    return read_trace(b"".join(naive_chunks)), product


def test_threads_show_the_same_slices(traces: tuple[Trace, Trace]) -> None:
    """Names, places, times and depths on the track of each thread are those of the product."""
    naive, product = [{track.uuid: _slices(track) for track in trace.thread_tracks} for trace in traces]
    assert sum(map(len, naive.values())) == SHAPE.spans
    assert naive == product


def test_async_spans_show_the_same_slices(traces: tuple[Trace, Trace]) -> None:
    """The self-join finds the pairs that the product finds, on whatever lanes they are."""
    naive, product = [
        Counter((s.begin_ns, s.duration_ns, s.name, s.source) for lane in trace.lanes for s in lane.slices)
        for trace in traces
    ]
    assert naive.total() == ASYNC_SPANS
    assert naive == product


def test_chunks_are_small(naive_chunks: list[bytes]) -> None:
    """Only the first one, which describes all tracks, may be larger than the naive way has them."""
    assert all(len(chunk) <= CHUNK_BYTES for chunk in naive_chunks[1:])


def _slices(track: Track) -> list[tuple[object, ...]]:
    return [(s.begin_ns, s.duration_ns, s.depth, s.name, s.source) for s in track.slices]
