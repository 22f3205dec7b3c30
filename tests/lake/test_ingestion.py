"""What goes into the lake, once, whole, or not at all."""

import re

import numpy as np
import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import begin, end
from tests.model.lake import (
    BLOCK_BATCH,
    Reader,
    block_batch,
    block_row,
    ingest_blocks,
    ingest_process,
    payload,
    process_batch,
    stream_batch,
    text_literal,
)
from tests.model.places import Place
from tests.model.telemetry import Block, Process, cut
from udtf.errors import InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.block_format import ASYNC_EVENTS, SCOPE, THREAD_EVENTS
from udtf.lake.lake import Lake

Row = dict[str, object]


def _ipc(*batches: pa.RecordBatch, schema: pa.Schema = THREAD_EVENTS) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _events(ticks: list[int], kinds: list[int], codes: list[int | None], nb_scopes: int = 1) -> pa.RecordBatch:
    scopes = pa.array([examples.scope(f"s{i}")._asdict() for i in range(nb_scopes)], SCOPE)
    indices = pa.array(codes, pa.int32())
    scope = pa.DictionaryArray.from_arrays(indices, scopes, safe=False)
    return pa.record_batch([pa.array(ticks, pa.int64()), pa.array(kinds, pa.uint8()), scope], schema=THREAD_EVENTS)


def _task_events(span_ids: list[int]) -> pa.RecordBatch:
    thread = _events([1, 5], [0] * len(span_ids), [0] * len(span_ids))
    zeros = np.zeros(len(span_ids))
    return pa.record_batch(
        [
            *thread.columns,
            pa.array(span_ids, pa.int64()),
            pa.array(zeros, pa.int64()),
            pa.array(zeros, pa.uint32()),
        ],
        schema=ASYNC_EVENTS,
    )


GOOD = _events([1, 5], [0, 1], [0, 0])
"""The events of the block that the tests below spoil: begin at 1, end at 5."""


def _renamed(batch: pa.RecordBatch, names: list[str]) -> bytes:
    renamed = batch.rename_columns(names)
    return _ipc(renamed, schema=renamed.schema)


MALFORMED_PAYLOADS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "payload"),
    "not Arrow": (b"these are not the events you are looking for", "payload"),
    "cut short": (_ipc(GOOD)[:-40], "payload"),
    "without a record batch": (_ipc(), "record batch"),
    "with two record batches": (_ipc(GOOD, GOOD), "more than one"),
    "without events": (_ipc(_events([], [], [])), "0 events"),
    "other columns": (_renamed(GOOD, ["tick", "kind", "scope"]), "columns"),
    "events of tasks": (_ipc(_task_events([7, 8]), schema=ASYNC_EVENTS), "thread"),
    "time runs backwards": (_ipc(_events([5, 1], [0, 1], [0, 0])), "'ticks' decreases"),
    "a kind that is none": (_ipc(_events([1, 5], [0, 2], [0, 0])), "'kind' is 2"),
    "a null": (_ipc(_events([1, 5], [0, 1], [0, None])), "'scope'"),
    "a scope that is not there": (_ipc(_events([1, 5], [0, 1], [0, 9])), "payload"),
    "a negative scope": (_ipc(_events([1, 5], [0, 1], [0, -1])), "payload"),
}

MALFORMED_ROWS: dict[str, tuple[Row, str]] = {
    "fewer events than said": ({"nb_objects": 3}, "nb_objects"),
    "more events than said": ({"nb_objects": 1}, "nb_objects"),
    "begins at another tick": ({"begin_ticks": 0}, "begin_ticks"),
    "ends at another tick": ({"end_ticks": 6}, "end_ticks"),
    "an ordinal below 0": ({"object_offset": -1}, "object_offset"),
    "an ordinal beyond counting": ({"object_offset": 2**63 - 1}, "object_offset"),
    "an unknown stream": ({"stream_id": "nobody"}, "nobody"),
}


@pytest.fixture
def one_thread(lake: Lake) -> tuple[Process, Block]:
    """A process of one thread in the lake, and its only block, which is not."""
    process = examples.process(examples.thread(begin(1, "s0"), end(5, "s0")))
    ingest_process(lake, process)
    return process, cut(process.streams[0], [])[0]


def _blocks_of(reader: Reader, process: Process) -> list[Row]:
    return reader.rows(f"SELECT * FROM blocks WHERE process_id = {text_literal(process.process_id)}")


def _assert_refused(place: Place, lake: Lake, process: Process, batch: pa.RecordBatch, message: str) -> None:
    with pytest.raises(InvalidTelemetry, match=re.escape(message)):
        lake.ingest("blocks", batch)
    assert _blocks_of(Reader.of(lake), process) == []
    assert place.segments() == []


@pytest.mark.parametrize("kind", MALFORMED_PAYLOADS)
def test_a_malformed_payload_is_refused_and_nothing_of_it_is_stored(
    kind: str, place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """The message says what is wrong; neither a row nor an object remains."""
    process, block = one_thread
    spoiled, message = MALFORMED_PAYLOADS[kind]
    batch = pa.RecordBatch.from_pylist([{**block_row(block), "payload": spoiled}], BLOCK_BATCH)
    _assert_refused(place, lake, process, batch, message)


@pytest.mark.parametrize("kind", MALFORMED_ROWS)
def test_a_malformed_row_is_refused_and_nothing_of_it_is_stored(
    kind: str, place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """The message names the column, or the thing that is not there; neither a row nor an object remains."""
    process, block = one_thread
    spoiled, message = MALFORMED_ROWS[kind]
    batch = pa.RecordBatch.from_pylist([{**block_row(block), **spoiled}], BLOCK_BATCH)
    _assert_refused(place, lake, process, batch, message)


REQUIRED = ("stream_id", "object_offset", "payload")
OPTIONAL: dict[str, tuple[pa.Field, object]] = {
    "process_id": (pa.field("process_id", pa.utf8()), "another process"),
    "begin_time": (schemas.BLOCKS.field("begin_time"), examples.at(10**9)),
    "end_time": (schemas.BLOCKS.field("end_time"), examples.at(-(10**9))),
    "payload_size": (schemas.BLOCKS.field("payload_size"), 17),
}


@pytest.mark.parametrize("column", OPTIONAL)
def test_an_optional_column_that_contradicts_the_block_is_refused(
    column: str, place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """What a client says without need must still be true."""
    process, block = one_thread
    field, wrong = OPTIONAL[column]
    batch = pa.RecordBatch.from_pylist([{**block_row(block), column: wrong}], BLOCK_BATCH.append(field))
    _assert_refused(place, lake, process, batch, column)


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_required_column_is_refused(
    column: str, place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """The message names the column."""
    process, block = one_thread
    batch = block_batch([block]).drop_columns([column])
    _assert_refused(place, lake, process, batch, column)


@pytest.mark.parametrize("column", REQUIRED)
def test_a_null_in_a_required_column_is_refused(
    column: str, place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """The message names the column."""
    process, block = one_thread
    schema = pa.schema([field.with_nullable(True) for field in BLOCK_BATCH])
    batch = pa.RecordBatch.from_pylist([{**block_row(block), column: None}], schema)
    _assert_refused(place, lake, process, batch, column)


def test_a_column_of_another_type_is_refused(place: Place, lake: Lake, one_thread: tuple[Process, Block]) -> None:
    """A number as text is not a number."""
    process, block = one_thread
    schema = pa.schema([*[f for f in BLOCK_BATCH if f.name != "nb_objects"], pa.field("nb_objects", pa.utf8())])
    batch = pa.RecordBatch.from_pylist([{**block_row(block), "nb_objects": "two"}], schema)
    _assert_refused(place, lake, process, batch, "nb_objects")


def test_an_unknown_table_is_refused(lake: Lake, one_thread: tuple[Process, Block]) -> None:
    """The message names the table that came."""
    with pytest.raises(InvalidTelemetry, match="partitions"):
        lake.ingest("partitions", process_batch(one_thread[0]))


def test_one_bad_block_takes_the_good_ones_of_its_batch_with_it(
    place: Place, lake: Lake, one_thread: tuple[Process, Block]
) -> None:
    """A record batch is stored whole or not at all."""
    process, good = one_thread
    bad = {**block_row(good), "block_id": "bad", "object_offset": 2, "payload": b"bad"}
    batch = pa.RecordBatch.from_pylist([block_row(good), bad], BLOCK_BATCH)
    _assert_refused(place, lake, process, batch, "payload")
    ingest_blocks(lake, [good])
    assert len(_blocks_of(Reader.of(lake), process)) == 1


def test_events_of_a_thread_do_not_go_into_an_async_stream(place: Place, lake: Lake) -> None:
    """A stream's tag says which columns its blocks have."""
    process = examples.process(examples.tasks(examples.task_begin(1, 7)))
    ingest_process(lake, process)
    row = {**block_row(cut(process.streams[0], [])[0]), "payload": payload([begin(1)], False)}
    _assert_refused(place, lake, process, pa.RecordBatch.from_pylist([row], BLOCK_BATCH), "async")


def test_a_span_id_of_zero_is_refused(place: Place, lake: Lake) -> None:
    """Zero means no span."""
    process = examples.process(examples.tasks(examples.task_begin(1, 0)))
    ingest_process(lake, process)
    _assert_refused(place, lake, process, block_batch(cut(process.streams[0], [])), "'span_id'")


def test_a_block_sent_again_is_stored_once(
    place: Place, lake: Lake, reader: Reader, one_thread: tuple[Process, Block]
) -> None:
    """Sending is harmless: the row keeps its insert time, the store its one object."""
    process, block = one_thread
    ingest_blocks(lake, [block])
    stored = _blocks_of(reader, process)
    ingest_blocks(lake, [block])
    ingest_blocks(lake, [block, block])
    assert _blocks_of(reader, process) == stored
    assert len(stored) == 1
    assert len(place.segments()) == 1


def test_a_process_and_a_stream_sent_again_are_stored_once(
    lake: Lake, reader: Reader, one_thread: tuple[Process, Block]
) -> None:
    """The order of arrival is process, stream, blocks, however often."""
    process, block = one_thread
    ingest_blocks(lake, [block])
    ingest_process(lake, process)
    for table in ("processes", "streams"):
        rows = reader.rows(f"SELECT * FROM {table} WHERE process_id = {text_literal(process.process_id)}")
        assert len(rows) == 1


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_a_block_id_with_other_content_is_refused(
    in_one_batch: bool, lake: Lake, reader: Reader, place: Place, one_thread: tuple[Process, Block]
) -> None:
    """A block is immutable: what is stored stays, what contradicts it is refused by name."""
    process, block = one_thread
    other = Block(block.block_id, block.stream, block.object_offset, (begin(1, "other"), end(5, "other")))
    if in_one_batch:
        _assert_refused(place, lake, process, block_batch([block, other]), block.block_id)
        return
    ingest_blocks(lake, [block])
    before = _blocks_of(reader, process)
    with pytest.raises(InvalidTelemetry, match=re.escape(block.block_id)):
        ingest_blocks(lake, [other])
    assert _blocks_of(reader, process) == before
    spans = reader.rows(f"SELECT name FROM view_instance('thread_spans', '{block.stream.stream_id}')")
    assert spans == [{"name": "s0"}]


@pytest.mark.parametrize(("offset", "nb_events"), [(0, 1), (1, 2), (2, 2), (0, 6), (3, 1)])
def test_a_block_that_overlaps_a_stored_one_is_refused(
    offset: int, nb_events: int, lake: Lake, reader: Reader, place: Place
) -> None:
    """An event has one ordinal and an ordinal one event, else ids of spans would double."""
    events = tuple(begin(index) for index in range(10))
    stream = examples.thread(*events)
    process = examples.process(stream)
    ingest_process(lake, process)
    ingest_blocks(lake, [Block("stored", stream, 1, events[1:4])] if offset else cut(stream, [3])[:1])
    before = _blocks_of(reader, process)
    blobs = place.segments()
    overlapping = Block("overlapping", stream, offset, events[offset : offset + nb_events])
    with pytest.raises(InvalidTelemetry, match="overlapping"):
        ingest_blocks(lake, [overlapping])
    assert _blocks_of(reader, process) == before
    assert place.segments() == blobs


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("hole", [0, 1])
def test_a_block_whose_time_runs_backwards_against_a_stored_one_is_refused(
    first: int, hole: int, lake: Lake, reader: Reader
) -> None:
    """Whichever of the two comes first, neighbours or not: else a span could end before it begins."""
    stream = examples.thread(begin(100), *[begin(100)] * hole, end(50))
    process = examples.process(stream)
    blocks = [block for block in cut(stream, [1, 1 + hole]) if block.object_offset in (0, 1 + hole)]
    ingest_process(lake, process)
    ingest_blocks(lake, [blocks[first]])
    before = _blocks_of(reader, process)
    with pytest.raises(InvalidTelemetry, match=blocks[1 - first].block_id):
        ingest_blocks(lake, [blocks[1 - first]])
    with pytest.raises(InvalidTelemetry, match=stream.stream_id):
        ingest_blocks(
            lake,
            [
                Block(f"{stream.stream_id}-again-{b.object_offset}", stream, b.object_offset + 9, b.events)
                for b in blocks
            ],
        )
    assert _blocks_of(reader, process) == before


def test_a_stream_of_an_unknown_process_is_refused(lake: Lake, reader: Reader) -> None:
    """The message names the process."""
    process = examples.process(examples.thread())
    with pytest.raises(InvalidTelemetry, match=process.process_id):
        lake.ingest("streams", stream_batch(process, process.streams))
    stream_id = text_literal(process.streams[0].stream_id)
    assert reader.rows(f"SELECT * FROM streams WHERE stream_id = {stream_id}") == []


STREAM_FAULTS: dict[str, tuple[Row, str]] = {
    "an unknown format": ({"format": "punch-cards"}, "punch-cards"),
    "no tag": ({"tags": []}, "tags"),
    "an unknown tag": ({"tags": ["fiber"]}, "tags"),
    "an id that is a path": ({"stream_id": "a/b"}, "stream_id"),
}


@pytest.mark.parametrize("kind", STREAM_FAULTS)
def test_a_malformed_stream_is_refused(kind: str, lake: Lake) -> None:
    """The message names what is wrong."""
    process = examples.process(examples.thread())
    lake.ingest("processes", process_batch(process))
    spoiled, message = STREAM_FAULTS[kind]
    good = stream_batch(process, process.streams)
    row = {**good.to_pylist()[0], **spoiled}
    with pytest.raises(InvalidTelemetry, match=message):
        lake.ingest("streams", pa.RecordBatch.from_pylist([row], good.schema))


PROCESS_FAULTS: dict[str, tuple[Row, str]] = {
    "no clock": ({"tsc_frequency": 0}, "tsc_frequency"),
    "a clock that runs backwards": ({"tsc_frequency": -(10**9)}, "tsc_frequency"),
    "an id that is a path": ({"process_id": "a/../b"}, "process_id"),
}


@pytest.mark.parametrize("kind", PROCESS_FAULTS)
def test_a_malformed_process_is_refused(kind: str, lake: Lake) -> None:
    """The message names the column."""
    good = process_batch(examples.process())
    spoiled, message = PROCESS_FAULTS[kind]
    with pytest.raises(InvalidTelemetry, match=message):
        lake.ingest("processes", pa.RecordBatch.from_pylist([{**good.to_pylist()[0], **spoiled}], good.schema))


def test_text_that_a_database_may_not_take_is_kept_or_refused(lake: Lake, reader: Reader) -> None:
    """A NUL in a property ends in the same text again or in a refusal, never in an internal error."""
    process = examples.process()
    batch = process_batch(process)
    row = {**batch.to_pylist()[0], "exe": "a\0b", "properties": [("key", "a\0b")]}
    try:
        lake.ingest("processes", pa.RecordBatch.from_pylist([row], batch.schema))
    except InvalidTelemetry as refusal:
        assert "exe" in str(refusal) or "properties" in str(refusal)  # noqa: PT017
        return
    stored = reader.rows(f"SELECT exe, properties FROM processes WHERE process_id = {text_literal(process.process_id)}")
    assert stored == [{"exe": "a\0b", "properties": [("key", "a\0b")]}]


def test_tables_show_what_was_sent(lake: Lake, reader: Reader) -> None:
    """Every column that was sent comes back, with the types of the SQL surface; times are exact."""
    stream = examples.thread(*examples.calls(3), name="работник")
    process = examples.process(stream, tsc_frequency=3)
    ingest_process(lake, process)
    blocks = cut(stream, [5])
    ingest_blocks(lake, blocks)
    where = f"WHERE process_id = {text_literal(process.process_id)}"
    assert reader.query(f"SELECT * FROM processes {where}").schema.equals(schemas.PROCESSES)
    assert reader.query(f"SELECT * FROM streams {where}").schema.equals(schemas.STREAMS)
    # What is known of their streams and processes comes after it.
    blocks_schema = reader.query(f"SELECT * FROM blocks {where}").schema
    assert pa.schema(list(blocks_schema)[: len(schemas.BLOCKS)]).equals(schemas.BLOCKS)
    [stored] = reader.rows(f"SELECT * FROM processes {where}")
    assert (stored["tsc_frequency"], stored["start_ticks"], stored["exe"]) == (3, 0, "model")
    assert stored["start_time"] == process.start_time_ns
    [stored] = reader.rows(f"SELECT * FROM streams {where}")
    assert dict(stored["properties"])["thread-name"] == "работник"
    assert stored["tags"] == ["thread", "cpu"]
    rows = reader.rows(f"SELECT * FROM blocks {where} ORDER BY object_offset")
    assert [
        (row["block_id"], row["object_offset"], row["nb_objects"], row["begin_time"], row["end_time"]) for row in rows
    ] == [
        (
            block.block_id,
            block.object_offset,
            len(block.events),
            process.time_ns(block.events[0].ticks),
            process.time_ns(block.events[-1].ticks),
        )
        for block in blocks
    ]
