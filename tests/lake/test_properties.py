"""Properties in every form that senders have them."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.errors import InvalidTelemetry
from udtf.lake.properties import PROPERTIES, as_properties

TEXTS = (pa.utf8(), pa.large_utf8(), pa.string_view(), pa.dictionary(pa.int32(), pa.utf8()))
PAIR = pa.struct([("key", pa.utf8()), ("value", pa.utf8())])
KEYS = ("", "a", "ä")

rows_of_properties = st.lists(
    st.none() | st.dictionaries(st.sampled_from(KEYS), st.none() | st.text("xü🙂", max_size=3)), max_size=6
)


def arrays_of(rows: list[dict[str, str | None] | None], kind: pa.DataType) -> dict[str, pa.Array]:
    """The same properties in each form, with keys and values of a type of text."""
    pairs = [None if row is None else list(row.items()) for row in rows]
    named = [None if row is None else [{"k": key, "v": value} for key, value in row.items()] for row in rows]
    pair = pa.struct([("k", kind), ("v", kind)])
    return {
        "map": pa.array(pairs, pa.map_(kind, kind)),
        "list": pa.array(named, pa.list_(pair)),
        "large list": pa.array(named, pa.large_list(pair)),
    }


@given(rows_of_properties, st.sampled_from(TEXTS), st.data())
def test_forms_mean_the_same(rows: list[dict[str, str | None] | None], kind: pa.DataType, data: st.DataObject) -> None:
    """Of each row, in slices as well."""
    begin = data.draw(st.integers(0, len(rows)))
    expected = [None if row is None else list(row.items()) for row in rows[begin:]]
    for array in arrays_of(rows, kind).values():
        properties = as_properties(array.slice(begin))
        properties.validate(full=True)
        assert properties.type == PROPERTIES
        assert properties.to_pylist() == expected


@given(rows_of_properties, st.sampled_from(TEXTS[:3]), st.data())
def test_fields_of_a_struct_are_properties(
    rows: list[dict[str, str | None] | None], kind: pa.DataType, data: st.DataObject
) -> None:
    """Those that have a value, in the order of the fields."""
    begin = data.draw(st.integers(0, len(rows)))
    array = pa.array(rows, pa.struct([(key, kind) for key in KEYS])).slice(begin)
    properties = as_properties(array)
    properties.validate(full=True)
    expected = [
        None if row is None else [(key, row[key]) for key in KEYS if row.get(key) is not None] for row in rows[begin:]
    ]
    assert properties.to_pylist() == expected


def test_structs_without_fields_are_no_properties() -> None:
    """Nor are rows without any."""
    assert as_properties(pa.array([{}, None], pa.struct([]))).to_pylist() == [[], None]
    assert as_properties(pa.array([], pa.struct([("a", pa.utf8())]))).to_pylist() == []
    assert as_properties(pa.array([{"a": None}], pa.struct([("a", pa.null())]))).to_pylist() == [[]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array(["a=b"]), "column properties must be a map of text to text, .* given: string"),
        (pa.array([["a"]]), "must be a map"),
        (pa.array([[{"a": "b"}]]), "must be a map"),
        (pa.array([{"a": 1}]), "keys and values of column properties must be text, given: int64"),
        (pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.utf8())), "must be text, given: int64"),
        (pa.array([[{"key": None, "value": "x"}]], pa.list_(PAIR)), "has a null key"),
        (pa.array([[None]], pa.list_(PAIR)), "has a null key"),
    ],
)
def test_other_columns_are_refused(array: pa.Array, message: str) -> None:
    """With what came, and what was expected."""
    with pytest.raises(InvalidTelemetry, match=message):
        as_properties(array)


def test_the_column_is_named() -> None:
    """By the name that the sender gave it."""
    properties: Any = pa.array([1])
    with pytest.raises(InvalidTelemetry, match="column tags must be"):
        as_properties(properties, "tags")
