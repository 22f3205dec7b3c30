"""Telemetry as values, record batches and blocks, as a lake takes them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.telemetry import (
    Process,
    Stream,
    async_stream,
    blocks_batch,
    cut_blocks,
    processes_batch,
    streams_batch,
    thread_stream,
)
from tests.model.lake import Reader
from udtf.lake.block_format import AsyncColumns, Events, Scope, scope_array
from udtf.lake.lake import Lake

PROCESS = Process(
    "process-1",
    tsc_frequency=1_000_000_000,
    start_time_ns=1_700_000_000_123_456_789,
    start_ticks=1000,
    exe="/usr/bin/app",
    parent_process_id="process-0",
    properties={"pid": "7", "größe": "😀"},
)
STREAM = thread_stream("stream-1", "process-1", "worker", 42)


def thread_events(scopes: list[int], table_size: int) -> Events:
    """Events with these scope codes; begins and ends in turn, one tick apart."""
    count = len(scopes)
    table = scope_array([Scope(f"name {i}", "target", "file.py", i) for i in range(table_size)])
    return Events(
        np.arange(count, dtype=np.int64),
        np.arange(count, dtype=np.int64).astype(np.uint8) % 2,
        np.array(scopes, np.int32),
        table,
    )


def test_a_lake_takes_what_the_batches_hold(tmp_path: Path) -> None:
    """Processes, both kinds of streams and their blocks come back with the values that were given."""
    overlapping = thread_events([0, 1, 0, 1], 2)
    overlapping = Events(
        overlapping.ticks,
        np.array([0, 0, 1, 1], np.uint8),
        overlapping.scopes,
        overlapping.scope_table,
        AsyncColumns(np.array([1, 2, 1, 2]), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1], np.uint32)),
    )
    tasks = async_stream("stream-2", "process-1", "loop", 43)
    blocks = [*cut_blocks(STREAM, thread_events([0, 0, 1, 1], 2), max_events=3), *cut_blocks(tasks, overlapping)]
    lake = Lake.open(str(tmp_path))
    try:
        assert lake.ingest("processes", processes_batch([PROCESS])) == 1
        assert lake.ingest("streams", streams_batch([STREAM, tasks])) == 2
        assert lake.ingest("blocks", blocks_batch(blocks)) == 3
        reader = Reader.of(lake)
        (process,) = reader.rows("SELECT * FROM processes")
        streams = reader.rows("SELECT * FROM streams ORDER BY stream_id")
        offsets = reader.rows("SELECT stream_id, object_offset, nb_objects, begin_ticks FROM blocks ORDER BY 1, 2")
    finally:
        lake.close()
    assert process["start_time"] == PROCESS.start_time_ns
    assert dict(process["properties"]) == PROCESS.properties  # type: ignore[call-overload]
    assert (process["exe"], process["username"], process["parent_process_id"]) == ("/usr/bin/app", None, "process-0")
    assert [(row["tags"], dict(row["properties"])) for row in streams] == [  # type: ignore[call-overload]
        (["thread", "cpu"], {"thread-name": "worker", "thread-id": "42"}),
        (["async"], {"thread-name": "loop", "thread-id": "43"}),
    ]
    assert [tuple(row.values()) for row in offsets] == [
        ("stream-1", 0, 3, 0),
        ("stream-1", 3, 1, 3),
        ("stream-2", 0, 4, 0),
    ]


@pytest.mark.parametrize("batch", [processes_batch([]), streams_batch([]), blocks_batch([])])
def test_no_rows_make_an_empty_batch_of_the_same_columns(batch: pa.RecordBatch) -> None:
    """So that senders need no exception for nothing."""
    assert batch.num_rows == 0
    assert batch.schema in (
        processes_batch([PROCESS]).schema,
        streams_batch([STREAM]).schema,
        blocks_batch(list(cut_blocks(STREAM, thread_events([0], 1)))).schema,
    )


@given(
    st.lists(st.integers(0, 5), max_size=40),
    st.integers(1, 15),
    st.integers(0, 1 << 40),
)
def test_blocks_hold_all_events_in_order(scopes: list[int], max_events: int, first_ordinal: int) -> None:
    """However they are cut: same events, offsets without gaps, and only scopes that are used."""
    events = thread_events(scopes, 6)
    blocks = list(cut_blocks(STREAM, events, first_ordinal, max_events))
    decoded = [block.events for block in blocks]
    names = [table["name"] for part in decoded for table in part.scope_table.take(pa.array(part.scopes)).to_pylist()]
    assert names == [f"name {code}" for code in scopes]
    assert [tick for part in decoded for tick in part.ticks.tolist()] == events.ticks.tolist()
    assert all(sorted(set(part.scopes.tolist())) == list(range(len(part.scope_table))) for part in decoded)
    expected_offset = first_ordinal
    for block, part in zip(blocks, decoded, strict=True):
        assert (block.object_offset, block.nb_objects) == (expected_offset, len(part))
        assert len(part) <= max_events
        expected_offset += len(part)
    assert expected_offset == first_ordinal + len(scopes)
    assert len({block.block_id for block in blocks}) == len(blocks)


def test_ids_may_be_given() -> None:
    """A sender whose ids follow from its content may send the same twice."""
    stream = Stream("s", "p", ("thread",))
    (block,) = cut_blocks(stream, thread_events([0], 1), new_id=lambda: "block-1")
    assert (block.block_id, block.stream_id, block.process_id) == ("block-1", "s", "p")
