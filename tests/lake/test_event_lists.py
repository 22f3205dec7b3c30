"""Blocks whose events are lists in one record batch: stored like those with payloads, known again however they are
packed, and refused in words where something is wrong with one of them."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import begin, calls, end, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place
from tests.model.telemetry import Block, Process, cut
from udtf.errors import InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.lake import Lake

Row = dict[str, Any]

SCOPE = {"name": "f", "target": "app", "filename": "app.py", "line": 1}


def event_rows(block: Block) -> list[Row]:
    names = ["ticks", "kind", "scope", *(["span_id", "parent_span_id", "depth"] if block.stream.is_async else [])]
    return [
        {name: getattr(event, name)._asdict() if name == "scope" else getattr(event, name) for name in names}
        for event in block.events
    ]


def list_row(block: Block) -> Row:
    column = "async_events" if block.stream.is_async else "thread_events"
    return {"stream_id": block.stream.stream_id, "object_offset": block.object_offset, column: event_rows(block)}


def plain(event: pa.StructType) -> pa.StructType:
    """The fields as a simple sender has them: scopes are not in a dictionary."""
    return pa.struct([field.with_type(schemas.SCOPE) if field.name == "scope" else field for field in event])


def list_batch(rows: list[Row]) -> pa.RecordBatch:
    types = {
        "block_id": pa.utf8(),
        "stream_id": pa.utf8(),
        "object_offset": pa.int64(),
        "thread_events": pa.list_(plain(schemas.THREAD_EVENT)),
        "async_events": pa.list_(plain(schemas.ASYNC_EVENT)),
    }
    used = [name for name in types if any(name in row for row in rows)]
    return pa.RecordBatch.from_pydict({name: pa.array([row.get(name) for row in rows], types[name]) for name in used})


@pytest.fixture
def process(lake: Lake) -> Process:
    tasks = examples.tasks(task_begin(0, 1), task_begin(5, 2, 1, 1), task_end(9, 2), task_end(12, 1))
    process = examples.process(examples.thread(*calls(10)), examples.thread(begin(0, "main"), end(50, "main")), tasks)
    ingest_process(lake, process)
    return process


def blocks_of(process: Process, *cuts: int) -> list[Block]:
    return [block for stream in process.streams for block in cut(stream, cuts)]


def spans(reader: Reader, process: Process) -> list[Row]:
    return reader.rows(f"SELECT * FROM process_spans('{process.process_id}', 'both') ORDER BY stream_id, begin, id")


def test_lists_are_stored_like_payloads(place: Place, lake: Lake, reader: Reader, process: Process) -> None:
    """All streams and kinds in one record batch: the same blocks and spans, one object and one row."""
    blocks = blocks_of(process, 3, 7)
    assert lake.ingest("blocks", list_batch([list_row(block) for block in blocks])) == len(blocks)
    assert len([path for path in place.list_files() if path.startswith("segments/")]) == 1
    assert lake.metadata.history(process.process_id).nb_segments == 1
    rows = reader.rows("SELECT stream_id, object_offset, nb_objects FROM blocks ORDER BY stream_id, object_offset")
    expected = [
        {"stream_id": block.stream.stream_id, "object_offset": block.object_offset, "nb_objects": len(block.events)}
        for block in blocks
    ]
    assert rows == sorted(expected, key=lambda row: (row["stream_id"], row["object_offset"]))
    by_lists = spans(reader, process)
    assert len(by_lists) == 20 + 1 + 2
    ingest_blocks(lake, blocks)
    assert lake.metadata.history(process.process_id).nb_segments == 1
    assert spans(reader, process) == by_lists


def test_blocks_are_known_again_however_they_are_packed(lake: Lake, process: Process) -> None:
    """First as payloads, then as lists: one by one, together, with others that are new."""
    old, new = blocks_of(process, 3)[:3], blocks_of(process, 3)[3:]
    ingest_blocks(lake, old)
    for block in old:
        lake.ingest("blocks", list_batch([list_row(block)]))
    lake.ingest("blocks", list_batch([list_row(block) for block in [*reversed(old), *new, *new]]))
    assert lake.metadata.history(process.process_id).nb_segments == 2


def changed(**values: Any) -> Callable[[Row], Row]:
    return lambda row: {**row, **values}


def with_event(**values: Any) -> Callable[[Row], Row]:
    """The second event of a block is another one."""

    def change(row: Row) -> Row:
        events = row["thread_events"]
        return {**row, "thread_events": [events[0], {**events[1], **values}, *events[2:]]}

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_event(kind=2), r"column 'kind' is 2 at event 1, expected 0 \(begin\) or 1 \(end\)"),
        (with_event(ticks=-5), "column 'ticks' decreases at event 1: -5 after 10"),
        (changed(thread_events=[]), "it has 0 events, expected 1 to"),
        (changed(thread_events=None), "has events in 0 columns, expected one of payload, thread_events"),
        (changed(object_offset=-1), "object_offset -1, expected 0 or more"),
        (changed(stream_id="other"), "belongs to stream 'other', which is unknown"),
        (
            changed(
                async_events=[{"ticks": 1, "kind": 0, "scope": SCOPE, "span_id": 1, "parent_span_id": 0, "depth": 0}]
            ),
            "has events in 2 columns",
        ),
    ],
)
def test_one_wrong_block_refuses_the_batch(
    place: Place, lake: Lake, process: Process, change: Callable[[Row], Row], reason: str
) -> None:
    """With the reason and the block, and nothing of the batch is stored."""
    good, bad, *_ = blocks_of(process, 3)
    with pytest.raises(InvalidTelemetry, match=reason):
        lake.ingest("blocks", list_batch([list_row(good), change({**list_row(bad), "block_id": "bad"})]))
    assert lake.metadata.history(process.process_id).nb_segments == 0
    assert [path for path in place.list_files() if path.startswith("segments/")] == []


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([[1]]), "has type list<.*int64>, expected list"),
        (pa.array([{"ticks": 1}]), "has type struct<ticks: int64>, expected list"),
        (pa.array([[{"ticks": 1, "kind": 0}]]), "events with fields ticks, kind, expected ticks, kind, scope"),
        (pa.array([[None]], pa.list_(plain(schemas.THREAD_EVENT))), "has a null event, expected none"),
        (
            pa.array([[{"ticks": 1, "kind": 300, "scope": {}}]]),
            "field 'kind' has type int64, expected uint8",
        ),
        (
            pa.array([[{"ticks": None, "kind": 0, "scope": {"name": "a", "target": "", "filename": "", "line": 1}}]]),
            "field 'ticks' .*(null|expected int64)",
        ),
        (
            pa.array([[{"ticks": 1, "kind": 0, "scope": {"name": None, "target": "", "filename": "", "line": 1}}]]),
            "field 'scope'",
        ),
    ],
)
def test_columns_of_other_types_are_refused_in_words(
    lake: Lake, process: Process, column: pa.Array, reason: str
) -> None:
    """Which column, which type, what was expected."""
    rows = {
        "stream_id": pa.array([process.streams[0].stream_id]),
        "object_offset": pa.array([0]),
        "thread_events": column,
    }
    with pytest.raises(InvalidTelemetry, match=reason):
        lake.ingest("blocks", pa.RecordBatch.from_pydict(rows))
