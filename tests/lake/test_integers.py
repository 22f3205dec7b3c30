"""Columns of integers come back as they were, and take fewer bytes where they can."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.lake.integers import restore, shrink

TYPES = (pa.uint8(), pa.int32(), pa.uint32(), pa.int64())


def _range_of(integer: pa.DataType) -> tuple[int, int]:
    info = np.iinfo(integer.to_pandas_dtype())
    return int(info.min), int(info.max)


@st.composite
def columns(draw: st.DrawFn) -> pa.Array:
    """Values of a type, near to one another or anywhere, in order or not."""
    integer = draw(st.sampled_from(TYPES))
    low, high = _range_of(integer)
    first = draw(st.integers(low, high))
    near = st.integers(max(low, first - 3), min(high, first + 1000))
    values = draw(st.lists(near | st.integers(low, high) | st.sampled_from([low, high, 0]), max_size=60))
    return pa.array(sorted(values) if draw(st.booleans()) else values, integer)


def _bytes(column: pa.Array) -> int:
    return sum(part.nbytes for part in shrink(column).values())


@given(columns())
def test_a_column_comes_back(column: pa.Array) -> None:
    """Whatever its values, in its own type; it never takes more bytes than before."""
    assert restore(shrink(column), column.type).equals(column)
    assert _bytes(column) <= column.nbytes


@pytest.mark.parametrize(
    ("column", "value_bytes"),
    [
        (pa.array(range(1000), pa.uint32()), 2),
        (pa.array([7] * 1000, pa.int64()), 1),
        (pa.array(range(10**18, 10**18 + 10**12, 10**9), pa.int64()), 4),
        (pa.array(range(0, 10**18, 10**15), pa.int64()), 8),
    ],
)
def test_a_column_takes_what_its_values_need(column: pa.Array, value_bytes: int) -> None:
    """Or what the steps between them do."""
    assert len(column) * value_bytes <= _bytes(column) <= len(column) * value_bytes + 16
