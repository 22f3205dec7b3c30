"""Arrow messages that claim more than they should, small as they are."""

import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory import peak_growth_bytes
from udtf.arrow.messages import MessageGuard, check_names, open_stream
from udtf.errors import InvalidArgument, InvalidTelemetry
from udtf.lake.block_format import MAX_DECODED_BYTES, THREAD_EVENTS, decode_block

MIB = 1 << 20
CODECS = ("lz4", "zstd")
NUMBERS = pa.record_batch({"n": pa.array([7] * 1000, pa.int64())})


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    """A stream of batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def messages(data: bytes) -> list[tuple[bytes, bytes]]:
    """Headers and bodies."""
    return [(m.metadata.to_pybytes(), m.body.to_pybytes()) for m in pa.ipc.MessageReader.open_stream(data)]


def read(data: bytes, max_bytes: int = MIB, max_rows: int = 10_000) -> pa.Table:
    reader = open_stream(data, MessageGuard(max_bytes, max_rows))
    check_names(reader.schema)
    return reader.read_all()


@pytest.mark.parametrize("options", [{}, *({"compression": codec} for codec in CODECS)])
def test_honest_streams_are_read(options: dict[str, Any]) -> None:
    """Compressed or not, whatever their columns are."""
    batch = pa.record_batch(
        {
            "text": ["a", None, "c" * 5000],
            "lists": [["x"] * 300, [], None],
            "flags": [[True] * 1000, [], [False]],
            "nothing": pa.nulls(3),
            "structs": [{"a": 1, "b": None}, None, {"a": 2, "b": None}],
            "coded": pa.array(["k", "l", "k"]).dictionary_encode(),
            "views": pa.array(["v" * 100, "w", None], pa.string_view()),
        }
    )
    assert read(stream(batch, batch, **options)).to_pylist() == batch.to_pylist() * 2


def test_a_stream_may_be_as_large_as_it_may() -> None:
    """The limit counts for each record batch, and counts what is there without compression."""
    for data in (stream(*[NUMBERS] * 5), stream(*[NUMBERS] * 5, compression="zstd")):
        assert read(data, max_bytes=8000).num_rows == 5000
        with pytest.raises(InvalidArgument, match="takes 8000 bytes without compression, expected at most 7999"):
            read(data, max_bytes=7999)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("claim", [1 << 40, (1 << 63) - 1, 8001])
def test_claims_are_not_believed(codec: str, claim: int) -> None:
    """Of a buffer that says how large it will be."""
    data = stream(NUMBERS, compression=codec).replace(struct.pack("<q", 8000), struct.pack("<q", claim))
    with pytest.raises(InvalidArgument, match=f"takes {claim} bytes"):
        read(data, max_bytes=8000)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("claim", [-2, -(1 << 63)])
def test_claims_that_make_no_sense_are_refused(codec: str, claim: int) -> None:
    """Less than nothing; -1 says that a buffer is not compressed."""
    data = stream(NUMBERS, compression=codec).replace(struct.pack("<q", 8000), struct.pack("<q", claim))
    with pytest.raises(InvalidArgument, match=f"a buffer of {claim} bytes"):
        read(data)


def test_buffers_that_compression_would_enlarge_count_as_they_are() -> None:
    """Arrow sends them raw, and says so."""
    noise = pa.record_batch({"b": [bytes(range(256)) * 2]})
    assert read(stream(noise, compression="lz4"), max_bytes=600).to_pylist() == noise.to_pylist()


@pytest.mark.parametrize("place", [(-8, 8000), (1 << 62, 8000), (8, 8000), (0, -1), (0, (1 << 63) - 1)])
def test_buffers_outside_of_the_body_are_refused(place: tuple[int, int]) -> None:
    """Wherever they claim to be."""
    (_, body) = messages(stream(NUMBERS))[1]
    header = messages(stream(NUMBERS))[1][0].replace(struct.pack("<qq", 0, 8000), struct.pack("<qq", *place))
    with pytest.raises(InvalidArgument, match=f"a buffer at {place[0]} of {place[1]} bytes in 8000"):
        MessageGuard(MIB, MIB).check(header, body)


HUGE = (1 << 31) - 1


def nothing(kind: pa.DataType, length: int, *children: pa.Array) -> pa.Array:
    """Values that take no memory, here neither."""
    return pa.Array.from_buffers(kind, length, [None], children=children)


ROWS_OF_NOTHING = [
    nothing(pa.null(), 1 << 40),
    nothing(pa.struct([]), 1 << 40),
    nothing(pa.struct([("n", pa.null())]), 1 << 40, nothing(pa.null(), 1 << 40)),
    pa.FixedSizeListArray.from_arrays(nothing(pa.null(), HUGE), HUGE),
    pa.ListArray.from_arrays(pa.array([0, HUGE], pa.int32()), nothing(pa.null(), HUGE)),
    pa.MapArray.from_arrays(pa.array([0, HUGE], pa.int32()), nothing(pa.struct([]), HUGE), nothing(pa.null(), HUGE)),
    pa.RunEndEncodedArray.from_arrays(pa.array([1 << 40]), nothing(pa.null(), 1)),
]


@pytest.mark.parametrize("column", ROWS_OF_NOTHING, ids=lambda column: str(column.type)[:40])
def test_rows_that_take_no_room_are_counted(column: pa.Array) -> None:
    """And the values in them."""
    data = stream(pa.record_batch({"c": column}), allow_64bit=True)
    assert len(data) < 2000
    with pytest.raises(InvalidArgument, match=r"claims \d+ (rows|values)"):
        read(data)


def test_dictionaries_count_as_long_as_they_are_kept() -> None:
    """All of them together, and what is added to one; one that takes the place of another does not add up."""

    def coded(*values: str) -> pa.RecordBatch:
        return pa.record_batch({"c": pa.array(values).dictionary_encode()})

    growing = [coded(*(f"{number:0100}" for number in range(count))) for count in range(1, 21)]
    replaced = [coded(f"{number:02000}") for number in range(20)]
    assert read(stream(*replaced), max_bytes=2100).num_rows == 20
    with pytest.raises(InvalidArgument, match="without compression"):
        read(stream(*growing, emit_dictionary_deltas=True), max_bytes=2000)
    read(stream(*growing, emit_dictionary_deltas=True), max_bytes=4000)


def test_compression_of_old_is_refused() -> None:
    """It is declared in metadata, where nobody would look for it but Arrow."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
    with pa.ipc.new_stream(sink, NUMBERS.schema, options=options) as writer:
        writer.write_batch(NUMBERS, {"ARROW:experimental_compression": "lz4"})
    with pytest.raises(InvalidArgument, match="no longer in use"):
        read(sink.getvalue())


def test_messages_of_other_kinds_are_refused() -> None:
    """Tensors have no place in a stream."""
    sink = pa.BufferOutputStream()
    pa.ipc.write_tensor(pa.Tensor.from_numpy(pa.array([1, 2]).to_numpy()), sink)
    message = pa.ipc.read_message(sink.getvalue())
    with pytest.raises(InvalidArgument, match="of kind 4"):
        MessageGuard(MIB, MIB).check(message.metadata, message.body)


def test_headers_are_of_reasonable_size() -> None:
    """Nobody has a hundred thousand columns."""
    wide = pa.record_batch([pa.array([1])] * 100_000, names=[str(number) for number in range(100_000)])
    with pytest.raises(InvalidArgument, match=r"header of \d+ bytes"):
        read(stream(wide))


def test_bodies_are_as_long_as_the_header_says() -> None:
    """Or what follows would be read as the next message."""
    header, body = messages(stream(NUMBERS))[1]
    for wrong in (body + bytes(8), body[:-8], b""):
        with pytest.raises(InvalidArgument, match=f"does not have the {len(wrong)} bytes"):
            MessageGuard(MIB, MIB).check(header, wrong)


@pytest.mark.parametrize(
    "field",
    [
        pa.field("name!", pa.int64()),
        pa.field("a", pa.list_(pa.field("name!", pa.int64()))),
        pa.field(
            "a", pa.dictionary(pa.int8(), pa.struct([("b", pa.map_(pa.utf8(), pa.struct([("name!", pa.int8())])))]))
        ),
        pa.field("a", pa.timestamp("ns", "name!")),
    ],
    ids=lambda field: str(field.type)[:20],
)
def test_names_are_text(field: pa.Field) -> None:
    """Wherever they are in a schema."""
    data = stream(pa.RecordBatch.from_arrays([pa.nulls(0, field.type)], schema=pa.schema([field])))
    assert read(data).num_rows == 0
    garbled = data.replace(b"name!", b"nam\xff!")
    with pytest.raises(InvalidArgument, match="a name that is not UTF-8"):
        read(garbled)
    with pytest.raises(InvalidTelemetry, match=r"payload: .* a name that is not UTF-8"):
        decode_block(garbled)


@pytest.mark.parametrize("header", [b"", b"\0", bytes(100), b"\xff" * 100, b"\x10\0\0\0" + bytes(60)])
def test_headers_that_are_none_are_refused(header: bytes) -> None:
    """Whatever is in them."""
    with pytest.raises(InvalidArgument):
        MessageGuard(MIB, MIB).check(header, b"x")


CODED = pa.record_batch({"n": [1, 2, 3], "c": pa.array(["a", "b", "a"]).dictionary_encode(), "l": [["x"], [], None]})


@given(data=st.data(), compression=st.sampled_from([None, *CODECS]))
@settings(max_examples=200)
def test_changed_bytes_never_take_more_than_they_may(data: st.DataObject, compression: str | None) -> None:
    """They are refused, by us or by Arrow, or read within the limit."""
    changed = bytearray(stream(CODED, CODED.slice(1), compression=compression))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    before = pa.total_allocated_bytes()
    try:
        table = read(bytes(changed), max_bytes=10_000)
        table.validate(full=True)
    except (InvalidArgument, pa.ArrowException, OSError):
        return
    assert table.num_rows <= 20_000
    assert pa.total_allocated_bytes() - before <= 100_000


# ---- Payloads of blocks


def bomb(codec: str) -> bytes:
    """A few kilobytes that become 1.5 GiB."""
    zeros = pa.array([bytes(64 * MIB)], pa.large_binary())
    return stream(pa.record_batch([zeros] * 24, names=[str(number) for number in range(24)]), compression=codec)


@pytest.mark.parametrize("codec", CODECS)
def test_a_payload_that_becomes_gigabytes_is_refused(codec: str) -> None:
    """Without becoming that; memory stays as it is."""
    payload = bomb(codec)
    assert len(payload) < 7 * MIB

    def refused() -> None:
        with pytest.raises(InvalidTelemetry, match=r"payload: .* takes 16\d{8} bytes without compression") as told:
            decode_block(payload)
        assert str(MAX_DECODED_BYTES) in str(told.value)

    assert peak_growth_bytes(refused) < 16 * MIB


@pytest.mark.parametrize("codec", CODECS)
def test_a_payload_that_says_it_becomes_gigabytes_is_refused(codec: str) -> None:
    """With the columns of a block, and a table of scopes that does not exist."""
    scopes = pa.array(
        [{"name": "n" * 4000, "target": "t", "filename": "f", "line": 1}], THREAD_EVENTS.field(2).type.value_type
    )
    columns = [
        pa.array([1]),
        pa.array([0], pa.uint8()),
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), scopes),
    ]
    payload = stream(pa.record_batch(columns, schema=THREAD_EVENTS), compression=codec)
    assert len(decode_block(payload)) == 1
    lying = payload.replace(struct.pack("<q", 4000), struct.pack("<q", 1 << 36))
    assert lying != payload

    def refused() -> None:
        with pytest.raises(InvalidTelemetry, match="bytes without compression"):
            decode_block(lying)

    assert peak_growth_bytes(refused) < 16 * MIB
