"""What values take that share their memory."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.arrow.expansion import expanded_bytes
from udtf.errors import InvalidArgument

TEXTS = st.lists(st.none() | st.text(max_size=20), max_size=20)


def bytes_of(values: list[str | None]) -> int:
    return sum(len(value.encode()) for value in values if value is not None)


@given(values=TEXTS, begin=st.integers(0, 20))
def test_text_takes_what_it_takes_however_it_is_sent(values: list[str | None], begin: int) -> None:
    """Plain, coded, as views; in lists and maps and structs; the whole or a part."""
    plain = pa.array(values, pa.utf8())
    for array in (
        plain,
        plain.cast(pa.large_utf8()),
        pa.array(values, pa.string_view()),
        plain.dictionary_encode(),
        pa.array(values, pa.string_view()).cast(pa.binary_view()),
    ):
        assert expanded_bytes(array.slice(begin)) == bytes_of(values[begin:])
        assert expanded_bytes(pa.ListArray.from_arrays([0, len(values)], array)) == bytes_of(values)
        assert expanded_bytes(pa.StructArray.from_arrays([array, array], ["a", "b"])) == 2 * bytes_of(values)
        keys = pa.array(["k"] * len(values))
        assert expanded_bytes(pa.MapArray.from_arrays([0, len(values)], keys, array)) == bytes_of(values) + len(values)


def test_a_value_counts_as_often_as_it_is_named() -> None:
    """Wherever it is kept."""
    often = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 1000]))
    assert expanded_bytes(often) == 1_000_000
    assert expanded_bytes(pa.ListArray.from_arrays([0, 1000], often)) == 1_000_000
    structs = pa.DictionaryArray.from_arrays(pa.array([0, None, 0]), pa.array([{"text": "x" * 100, "number": 1}]))
    assert expanded_bytes(structs) == 216


UNION = pa.UnionArray.from_dense(
    pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["abc"])]
)


@pytest.mark.parametrize(
    ("array", "size_bytes"),
    [
        (pa.array([1, None, 3]), 24),
        (pa.array([True] * 16), 2),
        (pa.array([1], pa.timestamp("ns", "UTC")), 8),
        (pa.array([b"abc", None], pa.binary(3)), 6),
        (pa.nulls(5), 0),
        (pa.array(["a" * 16] * 3).dictionary_encode().dictionary, 16),
        (UNION, 11),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_values_of_fixed_size_take_that(array: pa.Array, size_bytes: int) -> None:
    """Null or not."""
    assert expanded_bytes(array) == size_bytes


@pytest.mark.parametrize(
    "array",
    [
        pa.RunEndEncodedArray.from_arrays(pa.array([10]), pa.array(["x"])),
        pa.ListViewArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array([1, 1], pa.int32()), pa.array(["x"])),
    ],
    ids=lambda array: str(array.type)[:10],
)
def test_types_that_nobody_sends_are_refused(array: pa.Array) -> None:
    """They share in yet other ways."""
    with pytest.raises(InvalidArgument, match="are not taken"):
        expanded_bytes(array)
