"""Streams of rows as messages of Flight."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.wire.codec import MalformedMessage, decode
from flightsrv.wire.flight_data import Rows, decode_rows, encode_rows
from flightsrv.wire.flight_pb2 import FlightData
from udtf.arrow.messages import MessageGuard

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), ("text", pa.utf8()), ("lists", pa.list_(pa.int8()))])
CODED = pa.schema(
    [
        ("name", pa.dictionary(pa.int32(), pa.utf8())),
        ("within", pa.list_(pa.dictionary(pa.int8(), pa.utf8()))),
    ]
)


def messages(schema: pa.Schema, rows: Iterable[Rows]) -> list[FlightData]:
    return [decode(FlightData, data) for data in encode_rows(schema, rows)]


def read(sent: Iterable[FlightData]) -> Iterator[pa.RecordBatch]:
    return decode_rows(iter(sent), MessageGuard(1 << 20, 1 << 20))


def kinds(sent: Iterable[FlightData]) -> list[str]:
    """What each message is."""
    prefix = b"\xff\xff\xff\xff"
    return [
        pa.ipc.read_message(
            prefix + len(message.data_header).to_bytes(4, "little") + message.data_header + message.data_body
        ).type
        for message in sent
    ]


def coded(*names: str | None) -> pa.RecordBatch:
    within = pa.ListArray.from_arrays(pa.array([0, len(names)], pa.int32()), pa.array(names).dictionary_encode())
    column = pa.array(names).dictionary_encode().cast(CODED.field(0).type)
    nested = within.cast(CODED.field(1).type)
    return pa.record_batch([column.slice(0, 1), nested], schema=CODED)


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "n": st.integers(-(1 << 63), (1 << 63) - 1),
                "text": st.none() | st.text(max_size=300),
                "lists": st.none() | st.lists(st.integers(-128, 127), max_size=5),
            }
        ),
        max_size=20,
    ),
    size=st.integers(1, 20),
)
def test_rows_survive_their_way_to_bytes_and_back(rows: list[dict[str, object]], size: int) -> None:
    """Whatever the sizes of headers and bodies, and where a batch is a part of another."""
    whole = pa.RecordBatch.from_pylist(rows, SCHEMA)
    batches = [whole.slice(begin, size) for begin in range(0, len(rows), size)]
    assert list(read(messages(SCHEMA, batches))) == batches


def test_the_schema_comes_first_and_alone() -> None:
    """Before a row is made; headers have a length that is a multiple of eight, as clients expect."""

    def rows() -> Iterator[pa.RecordBatch]:
        pytest.fail("no row was asked for")
        yield

    first = decode(FlightData, next(encode_rows(SCHEMA, rows())))
    assert kinds([first]) == ["schema"]
    assert (first.app_metadata, first.data_body, len(first.data_header) % 8) == (b"", b"", 0)
    assert list(read([first])) == []


def test_metadata_goes_with_its_batch() -> None:
    """Also with one that has no rows."""
    batch = pa.RecordBatch.from_pylist([{"n": 1}], SCHEMA)
    sent = messages(SCHEMA, [(batch.slice(0, 0), b"progress"), batch, (batch, b"x" * 1000)])
    assert [message.app_metadata for message in sent] == [b"", b"progress", b"", b"x" * 1000]
    assert kinds(sent) == ["schema", *["record batch"] * 3]
    assert [rows.num_rows for rows in read(sent)] == [0, 1, 1]


def test_dictionaries_go_before_their_rows_when_they_change() -> None:
    """And not again; those within lists as well. Metadata stays with the rows."""
    batches = [coded("a", "b"), coded("a", "b"), coded("c"), coded("c", "d")]
    sent = messages(CODED, [(batch, b"m") for batch in batches])
    assert kinds(sent) == [
        "schema",
        *("dictionary", "dictionary", "record batch"),
        "record batch",
        *("dictionary", "dictionary", "record batch"),
        *("dictionary", "dictionary", "record batch"),
    ]
    assert [message.app_metadata for message, kind in zip(sent, kinds(sent), strict=True) if kind == "dictionary"] == [
        b""
    ] * 6
    assert [batch.to_pylist() for batch in read(sent)] == [batch.to_pylist() for batch in batches]
    only_nulls = messages(CODED, [coded(None)])
    assert [batch.to_pylist() for batch in read(only_nulls)] == [[{"name": None, "within": [None]}]]


def test_nothing_is_no_rows() -> None:
    """Not even a schema, or only metadata."""
    assert list(read([])) == []
    assert list(read([FlightData(app_metadata=b"x")])) == []


BATCH = pa.RecordBatch.from_pylist([{"n": 1}], SCHEMA)
GOOD = messages(SCHEMA, [BATCH])


@pytest.mark.parametrize(
    "sent",
    [
        GOOD[1:],
        [GOOD[0], GOOD[0], GOOD[1]],
        [GOOD[0], *messages(CODED, [coded("a")])[2:]],
        [messages(CODED, [coded("a")])[0], *messages(CODED, [coded("a")])[-1:]],
    ],
    ids=["no schema", "schema twice", "rows of another", "no dictionary"],
)
def test_messages_that_are_no_stream_are_refused(sent: list[FlightData]) -> None:
    """Each on its own is a message of Arrow."""
    with pytest.raises(MalformedMessage, match="not a valid stream"):
        list(read(sent))


def test_bytes_are_those_of_protobuf() -> None:
    """Written by hand as by protobuf."""
    large = pa.record_batch([[7] * 100_000], names=["n"])
    for schema, rows in ((SCHEMA, [BATCH, (BATCH, b"metadata")]), (large.schema, [large]), (CODED, [coded("a")])):
        for data in encode_rows(schema, rows):
            assert decode(FlightData, data).SerializeToString() == data
