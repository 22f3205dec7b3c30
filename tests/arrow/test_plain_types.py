"""Types that every client knows in place of others, and arrays of them."""

from collections.abc import Sequence
from typing import Any

import datafusion
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.arrow.plain_arrays import converted, value_in_union, without_rows
from udtf.arrow.plain_types import check_readable, has_dictionaries, plain_type, without_dictionaries
from udtf.errors import InvalidArgument

LEAVES: Sequence[tuple[pa.DataType, Sequence[Any]]] = (
    (pa.int64(), (1, -1)),
    (pa.uint32(), (0, 4_294_967_295)),
    (pa.utf8(), ("", "text")),
    (pa.string_view(), ("", "a text that does not fit into a view")),
    (pa.binary_view(), (b"", b"\0" * 20)),
    (pa.bool_(), (True, False)),
    (pa.null(), ()),
)


@st.composite
def arrays(draw: st.DrawFn, depth: int = 2) -> pa.Array:
    """Of any of these types within any other, with nulls, slices and empty values."""
    size = draw(st.integers(0, 5))
    begin, end = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
    return draw(whole_arrays(size, depth)).slice(begin, end - begin)


@st.composite
def whole_arrays(draw: st.DrawFn, size: int, depth: int) -> pa.Array:
    """Of `size` values."""
    if depth == 0 or draw(st.booleans()):
        kind, values = draw(st.sampled_from(LEAVES))
        return pa.array(draw(st.lists(st.sampled_from((None, *values)), min_size=size, max_size=size)), kind)
    nulls = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    lengths = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    offsets = [sum(lengths[:number]) for number in range(size + 1)]
    values = draw(whole_arrays(offsets[-1], depth - 1))
    mask = pa.array(nulls, pa.bool_())
    shape = draw(
        st.sampled_from(("list", "large_list", "view", "fixed", "struct", "map", "dictionary", "runs", "union"))
    )
    if shape == "list":
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=mask)
    if shape == "large_list":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=mask)
    if shape == "view":
        begins, sizes = pa.array(offsets[:-1][::-1], pa.int32()), pa.array(lengths[::-1], pa.int32())
        return pa.ListViewArray.from_arrays(begins, sizes, values, mask=mask)
    if shape == "fixed":
        return pa.FixedSizeListArray.from_arrays(draw(whole_arrays(2 * size, depth - 1)), 2, mask=mask)
    if shape == "struct":
        children = [draw(whole_arrays(size, depth - 1)) for _ in range(2)]
        return pa.StructArray.from_arrays(children, ["a", "b"], mask=mask)
    if shape == "map":
        keys = pa.array(range(offsets[-1]), pa.uint8())
        return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, values, mask=mask)
    if shape == "dictionary" and len(values):
        indices = pa.array([length % len(values) for length in lengths], pa.int32(), mask=mask.to_numpy(False))
        return pa.DictionaryArray.from_arrays(indices, values)
    if shape == "runs" and size:
        ends = pa.array(range(1, size + 1), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, draw(whole_arrays(size, depth - 1)))
    members = [draw(whole_arrays(size, depth - 1)) for _ in range(2)]
    return pa.UnionArray.from_sparse(pa.array([length % 2 for length in lengths], pa.int8()), members)


@given(arrays())
def test_values_stay_what_they_are(array: pa.Array) -> None:
    """In plain types, with dictionaries and without."""
    for kind in (plain_type(array.type), without_dictionaries(plain_type(array.type))):
        changed = converted(array, kind)
        changed.validate(full=True)
        assert changed.type == kind
        assert changed.to_pylist() == array.to_pylist()


@given(arrays())
def test_plain_types_are_plain(array: pa.Array) -> None:
    """Nothing is left to change, at any depth."""
    plain = plain_type(array.type)
    assert plain_type(plain) == plain
    assert not any(word in str(plain) for word in ("view", "uint", "run_end"))
    assert not has_dictionaries(without_dictionaries(plain))
    assert without_rows(pa.schema([("v", plain)])).num_rows == 0


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_values_in_unions_know_their_member(mode: str) -> None:
    """Null or not, in slices as well."""
    codes = pa.array([0, 1, 1, 0], pa.int8())
    sparse = [pa.array([1, None, None, None]), pa.array([None, "x", None, None])]
    dense = [pa.array([1, None]), pa.array(["x", None])]
    union = (
        pa.UnionArray.from_sparse(codes, sparse)
        if mode == "sparse"
        else pa.UnionArray.from_dense(codes, pa.array([0, 0, 1, 1], pa.int32()), dense)
    )
    expected = [pa.scalar(1), pa.scalar("x"), pa.scalar(None, pa.utf8()), pa.scalar(None, pa.int64())]
    for begin in range(4):
        part = union.slice(begin)
        assert [value_in_union(part, row) for row in range(len(part))] == expected[begin:]


def test_numbers_that_do_not_fit_are_refused() -> None:
    """Rather than becoming negative."""
    with pytest.raises(InvalidArgument, match="a value does not fit into int64"):
        converted(pa.array([1 << 63], pa.uint64()), pa.int64())


@pytest.mark.parametrize("kind", ["Interval(YearMonth)", "List(Interval(DayTime))"])
def test_types_that_python_cannot_read_are_refused(kind: str) -> None:
    """By the name of the column; other intervals can be read."""
    frame = datafusion.SessionContext().sql(f"SELECT arrow_cast(NULL, '{kind}') AS since, NULL::interval AS other")
    with pytest.raises(InvalidArgument, match=r"column 'since' has type .*interval"):
        check_readable(frame.schema())
    check_readable(pa.schema([frame.schema().field("other")]))
