"""Attributes as any sender may send them: taken in many types, refused in words, read only where they are asked for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from tests.model.trace_reader import read_trace
from udtf.errors import InvalidTelemetry
from udtf.lake import attributes as stored
from udtf.lake import partition_store, schemas
from udtf.lake.lake import Lake

SCOPE = pa.array([{"name": "f", "target": "app", "filename": "app.py", "line": 1}], schemas.SCOPE)
STRUCT = pa.struct([("key", pa.utf8()), ("text", pa.utf8()), ("integer", pa.int64()), ("boolean", pa.bool_())])


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = local_place(tmp_path / "lake").open()
    yield opened
    opened.close()


@pytest.fixture
def reader(lake: Lake) -> Reader:
    return Reader.of(lake)


@pytest.fixture
def process(lake: Lake) -> Process:
    """One thread without events."""
    process = examples.process(examples.thread())
    ingest_process(lake, process)
    return process


def send(lake: Lake, process: Process, attributes: pa.Array, block_id: str = "b") -> None:
    """One block of spans, each of two events, with these attributes of the events."""
    kinds = np.arange(len(attributes)) % 2
    fields = {
        "ticks": pa.array(np.arange(len(attributes))),
        "kind": pa.array(kinds.astype(np.uint8)),
        "scope": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(attributes), np.int32)), SCOPE),
        "attributes": attributes,
    }
    events = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    columns = {
        "block_id": pa.array([block_id]),
        "stream_id": pa.array([process.streams[0].stream_id]),
        "object_offset": pa.array([0]),
        "thread_events": pa.ListArray.from_arrays(pa.array([0, len(attributes)], pa.int32()), events),
    }
    lake.ingest("blocks", pa.RecordBatch.from_pydict(columns))


def properties(reader: Reader, process: Process) -> list[dict[str, str]]:
    rows = reader.rows(f"SELECT properties FROM process_spans('{process.process_id}', 'thread') ORDER BY begin")
    return [dict(row["properties"]) for row in rows]  # type: ignore[call-overload]


def map_of(values: Any, value_type: pa.DataType) -> pa.Array:
    return pa.array(values, pa.map_(pa.utf8(), value_type))


BYTES = b"\1\1n" + (7).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (map_of([[("a", "x")], None], pa.utf8()), {"a": "x"}),
        (map_of([None, [("a", "x"), ("b", "")]], pa.large_utf8()), {"a": "x", "b": ""}),
        (map_of([[("n", 1)], [("n", 2)]], pa.int16()), {"n": "2"}),
        (map_of([[("n", 0.5)], []], pa.float32()), {"n": "0.5"}),
        (map_of([[("n", True)], None], pa.bool_()), {"n": "true"}),
        (
            pa.array([[{"key": "n", "integer": 7}, {"key": "t", "text": "x"}], []], pa.list_(STRUCT)),
            {"n": "7", "t": "x"},
        ),
        (pa.array([[{"key": "n", "boolean": False}], None], pa.large_list(STRUCT)), {"n": "false"}),
        (pa.array([BYTES, None], pa.binary()), {"n": "7"}),
        (pa.array([b"", BYTES], pa.large_binary()), {"n": "7"}),
        (pa.nulls(2, pa.map_(pa.utf8(), pa.utf8())), {}),
        (map_of([[], []], pa.utf8()), {}),
    ],
    ids=lambda value: str(value.type)[:40] if isinstance(value, pa.Array) else "",
)
def test_attributes_are_taken_in_many_types(
    attributes: pa.Array, expected: dict[str, str], lake: Lake, reader: Reader, process: Process
) -> None:
    """Those of the begin and of the end are those of the span."""
    send(lake, process, attributes)
    assert properties(reader, process) == [expected]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (pa.array([1, 2]), "column 'thread_events', field 'attributes' has type int64, expected binary, map"),
        (pa.array(["{}", ""]), "field 'attributes' has type string, expected binary, map<utf8, utf8> or list<struct"),
        (pa.array([[1], []]), "expected .*: a list of int64"),
        (pa.array([[{"key": "a", "other": 1}], []]), "expected .*: an attribute with fields key, other"),
        (pa.array([[{"text": "a"}], []]), "expected .*: an attribute with fields text"),
        (
            map_of([[("a", "x")], [("a", None)]], pa.utf8()),
            "block 'b': an attribute with 0 values at event 1, expected",
        ),
        (
            pa.array([[], [{"key": "a", "integer": 1, "text": "x"}]], pa.list_(STRUCT)),
            "block 'b': an attribute with 2 values at event 1, expected a key and one of text, integer",
        ),
        (pa.array([[{"key": None, "integer": 1}], []], pa.list_(STRUCT)), "an attribute with 1 values at event 0"),
        (map_of([[("", "x")], []], pa.utf8()), "an attribute whose key has 0 bytes at event 0, expected 1 to 255"),
        (map_of([[("k" * 256, "x")], []], pa.utf8()), "an attribute whose key has 256 bytes at event 0"),
        (map_of([[], [("a", "x" * 8200)]], pa.utf8()), "attributes of 8205 bytes at event 1, expected at most 8191"),
        (pa.array([b"", b"\1"], pa.binary()), "bytes that are no attributes at event 1"),
        (pa.array([b"\1\7a", b""], pa.binary()), "bytes that are no attributes at event 0"),
        (pa.array([BYTES[:-1], b""], pa.binary()), "bytes that are no attributes at event 0"),
        (pa.array([b"", b"\1\0\xff\0\0"], pa.binary()), "attributes that are not UTF-8 at event 1"),
        (pa.array([b"\1\0a\1\0\xff", b""], pa.binary()), "attributes that are not UTF-8 at event 0"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_in_words(attributes: pa.Array, message: str, lake: Lake, process: Process) -> None:
    """With the block and the event, or the column and its type; nothing is stored."""
    with pytest.raises(InvalidTelemetry, match=message):
        send(lake, process, attributes)
    assert lake.metadata.history(process.process_id).nb_segments == 0


def test_blocks_are_known_by_their_attributes(lake: Lake, process: Process) -> None:
    """The same ones are stored once, whatever else is sent with them; with others they are other blocks."""
    thread = examples.thread(*calls(2))
    noted = replace(thread, events=tuple(replace(event, attributes=(("n", 1),)) for event in thread.events))
    plain = examples.thread(*calls(2))
    process = examples.process(thread, plain)
    ingest_process(lake, process)
    with_attributes = [replace(block, stream=thread) for block in cut(noted, [])]
    ingest_blocks(lake, with_attributes)
    ingest_blocks(lake, [*cut(plain, []), *with_attributes])
    ingest_blocks(lake, cut(plain, []))
    assert lake.metadata.history(process.process_id).nb_segments == 2
    with pytest.raises(InvalidTelemetry, match="overlap a block of events 0 to 7 with other content"):
        ingest_blocks(lake, cut(thread, []))


def test_attributes_are_read_only_where_they_are_asked_for(lake: Lake, reader: Reader, process: Process) -> None:
    """Of what is materialized: by the columns of partitions that are read."""
    send(lake, process, map_of([[("a", "x")], None] * 100, pa.utf8()))
    spans = f"process_spans('{process.process_id}', 'thread')"
    reader.rows(f"SELECT count(*) FROM {spans}")
    asked: list[bool] = []
    read = partition_store.read_partition

    def noted(data: bytes, footer_hash: str, columns: list[str], *rest: Any) -> Any:
        asked.append("attributes" in columns)
        return read(data, footer_hash, columns, *rest)

    with patch.object(partition_store, "read_partition", noted):
        for statement, expected in [
            (f"SELECT name, duration FROM {spans} WHERE duration < 5", False),
            (f"SELECT count(*) FROM {spans} WHERE name = 'f'", False),
            (f"SELECT max(duration) FROM {spans} WHERE properties['a'] = 'x'", True),
            (f"SELECT * FROM view_instance('thread_spans', '{process.streams[0].stream_id}')", True),
            (f"SELECT name FROM view_instance('thread_spans', '{process.streams[0].stream_id}')", False),
            ("SELECT name FROM spans('thread')", False),
            ("SELECT properties FROM spans('thread')", True),
        ]:
            asked.clear()
            lake._sources.partitions.rows.clear()
            assert len(reader.rows(statement)) > 0
            assert set(asked) == {expected}, statement


def test_many_long_attributes_are_in_traces_of_bounded_pieces(lake: Lake, reader: Reader, process: Process) -> None:
    """Eight kilobytes each, which do not fit into one piece."""
    texts = [f"{number} ".ljust(8000, "x") for number in range(200)]
    send(lake, process, map_of([each for text in texts for each in ([("a", text)], [("b", text)])], pa.utf8()))
    trace = read_trace(reader.trace_bytes(process.process_id, "thread", ALL_TIME))
    (track,) = (track for track in trace.tracks.values() if track.slices)
    assert [piece.annotations for piece in track.slices] == [{"a": text, "b": text} for text in texts]


def test_keys_are_defined_again_when_there_are_too_many(lake: Lake, reader: Reader, process: Process) -> None:
    keys = [f"key {number % 40}" for number in range(200)]
    send(lake, process, map_of([each for key in keys for each in ([(key, "x")], None)], pa.utf8()))
    with patch("udtf.perfetto.interning._MAX_KEYS", 10):
        trace = read_trace(reader.trace_bytes(process.process_id, "thread", ALL_TIME))
    (track,) = (track for track in trace.tracks.values() if track.slices)
    assert [list(piece.annotations) for piece in track.slices] == [[key] for key in keys]


ENTRIES = st.dictionaries(
    st.sampled_from(["a", "b", "name", "名"]), st.integers(-5, 5) | st.text(max_size=3), max_size=3
)


@given(st.lists(st.tuples(ENTRIES, ENTRIES), max_size=6))
def test_merged_attributes_have_the_later_value_of_each_key(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """As dicts do."""

    def encoded(rows: list[dict[str, Any]]) -> pa.BinaryArray:
        keys = [key for row in rows for key in row]
        values = [value for row in rows for value in row.values()]
        types = np.array([stored.INTEGER if isinstance(value, int) else stored.TEXT for value in values], np.uint8)
        numbers = np.array([value if isinstance(value, int) else 0 for value in values], np.int64)
        texts = pa.array([value if isinstance(value, str) else "" for value in values], pa.utf8())
        bounds = np.cumsum([0, *map(len, rows)])
        return stored.encode_entries(bounds, pa.array(keys, pa.utf8()), types, numbers, texts)

    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    merged = stored.as_properties(stored.merged(encoded(first), encoded(second))).to_pylist()
    assert [dict(row) for row in merged] == [
        {key: str(value) for key, value in (before | after).items()} for before, after in pairs
    ]
    assert all(len(dict(row)) == len(row) for row in merged)
