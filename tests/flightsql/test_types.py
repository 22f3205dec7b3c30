"""Every type of Arrow: as a value, as null, within others, as a parameter. Each is answered, or refused in words."""

import datetime
import decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flightsrv.server.lifecycle import RunningServer
from tests.server.clients import Client, PyarrowClient, Refused
from udtf.arrow.plain_types import plain_type, value_type, without_dictionaries

TYPES: dict[str, tuple[str, pa.DataType]] = {
    "Null": ("NULL", pa.null()),
    "Boolean": ("true", pa.bool_()),
    "Int8": ("-1", pa.int8()),
    "Int16": ("-1", pa.int16()),
    "Int32": ("-1", pa.int32()),
    "Int64": ("-1", pa.int64()),
    "UInt8": ("255", pa.int64()),
    "UInt16": ("1", pa.int64()),
    "UInt32": ("4294967295", pa.int64()),
    "UInt64": ("9223372036854775807", pa.int64()),
    "Float16": ("1.5", pa.float16()),
    "Float32": ("1.5", pa.float32()),
    "Float64": ("1.5", pa.float64()),
    "Utf8": ("'x'", pa.utf8()),
    "LargeUtf8": ("'x'", pa.large_utf8()),
    "Utf8View": ("'a text that is longer than a view'", pa.utf8()),
    "Binary": ("X'00'", pa.binary()),
    "LargeBinary": ("X'00'", pa.large_binary()),
    "BinaryView": ("X'00'", pa.binary()),
    "FixedSizeBinary(2)": ("X'0001'", pa.binary(2)),
    "Decimal32(5, 1)": ("1.5", pa.decimal128(5, 1)),
    "Decimal64(5, 1)": ("1.5", pa.decimal128(5, 1)),
    "Decimal128(38, 10)": ("1.5", pa.decimal128(38, 10)),
    "Decimal256(76, 10)": ("1.5", pa.decimal256(76, 10)),
    "Date32": ("'2026-01-01'", pa.date32()),
    "Date64": ("'2026-01-01'", pa.date64()),
    "Time32(s)": ("'10:00:00'", pa.time32("s")),
    "Time32(ms)": ("'10:00:00'", pa.time32("ms")),
    "Time64(us)": ("'10:00:00'", pa.time64("us")),
    "Time64(ns)": ("'10:00:00'", pa.time64("ns")),
    "Timestamp(s)": ("'2026-01-01'", pa.timestamp("s")),
    "Timestamp(ms)": ("'2026-01-01'", pa.timestamp("ms")),
    "Timestamp(us)": ("'2026-01-01'", pa.timestamp("us")),
    'Timestamp(ns, "Europe/Zurich")': ("'2026-01-01'", pa.timestamp("ns", "Europe/Zurich")),
    "Duration(s)": ("1", pa.duration("s")),
    "Duration(ns)": ("1", pa.duration("ns")),
    "Interval(MonthDayNano)": ("'1 month -2 days 3 nanoseconds'", pa.month_day_nano_interval()),
    "List(Int64)": ("[1, NULL]", pa.list_(pa.int64())),
    "LargeList(Utf8View)": ("['a']", pa.large_list(pa.utf8())),
    "ListView(Int64)": ("[1, 2]", pa.list_(pa.int64())),
    "LargeListView(Utf8)": ("['a', NULL]", pa.large_list(pa.utf8())),
    "FixedSizeList(2 x Int64)": ("[1, 2]", pa.list_(pa.int64(), 2)),
    'Struct("a": Int64, "b": Utf8View)': (
        "named_struct('a', 1, 'b', 'x')",
        pa.struct([("a", pa.int64()), ("b", pa.utf8())]),
    ),
    'Map("entries": non-null Struct("key": non-null Utf8, "value": UInt32), unsorted)': (
        "map(['a', 'b'], [1, NULL])",
        pa.map_(pa.utf8(), pa.int64()),
    ),
    "Dictionary(Int32, Utf8)": ("'x'", pa.utf8()),
    "Dictionary(UInt8, Utf8View)": ("'x'", pa.utf8()),
    'RunEndEncoded("run_ends": non-null Int32, "values": Utf8)': ("'x'", pa.utf8()),
}
"""By the name that `arrow_cast` takes: a value, and the type in which clients get it."""

REFUSED = ("Interval(YearMonth)", "Interval(DayTime)")
"""Python cannot look at their values."""

WRAPPERS = (
    "[{}]",
    "[[{}], NULL, []]",
    "named_struct('a', {})",
    "map(['k'], [{}])",
    "arrow_cast([{}], 'LargeList({type})')",
    "arrow_cast([{}], 'ListView({type})')",
    "arrow_cast([{}], 'FixedSizeList(1 x {type})')",
)


def shown(kind: pa.DataType) -> str:
    """Names and nullability within a type are of no interest here."""
    return str(kind).replace(" not null", "").replace("element:", "item:").replace(" ('entries')", "")


@pytest.mark.parametrize("name", TYPES)
def test_values_and_nulls_of_every_type_are_answered(client: Client, name: str) -> None:
    """As columns of several rows, from the first to the last."""
    value, kind = TYPES[name]
    table = client.query(f"SELECT v FROM (VALUES (1, arrow_cast({value}, '{name}')), (2, NULL)) AS t(k, v) ORDER BY k")
    assert shown(table.schema.field("v").type) == shown(kind)
    assert table["v"].is_null().to_pylist() == [name == "Null", True]
    nothing = client.query(f"SELECT arrow_cast(NULL, '{name}') AS v")
    assert shown(nothing.schema.field("v").type) == shown(kind)
    assert nothing["v"].to_pylist() == [None]


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_answered_within_others(server: RunningServer, name: str) -> None:
    """Or the engine says that it cannot nest it."""
    value, kind = TYPES[name]
    client = PyarrowClient(server.url)
    refused = []
    for wrapper in WRAPPERS:
        for inner in (f"arrow_cast({value}, '{name}')", f"arrow_cast(NULL, '{name}')"):
            sql = f"SELECT {wrapper.format(inner, type=name)} AS v"
            try:
                table = client.query(sql)
            except Refused as error:
                refused.append(error)
            else:
                table.validate(full=True)
                assert shown(kind) in shown(table.schema.field("v").type), sql
                (row,) = table["v"].to_pylist()
                assert row is not None
    assert [error for error in refused if error.code != "INVALID_ARGUMENT" or "Traceback" in error.message] == []


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("wrapper", ["{}", "[{}]", "named_struct('a', {})"])
def test_types_that_cannot_be_read_are_refused_in_words(client: Client, name: str, wrapper: str) -> None:
    """With what to do about it."""
    value = wrapper.format(f"arrow_cast('1 month', '{name}')")
    message = r"column 'v' has type .*interval.*cast it: CAST\(\.\.\. AS INTERVAL\)"
    with pytest.raises(Refused, match=message) as refused:
        client.query(f"SELECT {value} AS v")
    assert refused.value.code == "INVALID_ARGUMENT"
    cast = f"SELECT CAST(arrow_cast('1 month', '{REFUSED[0]}') AS INTERVAL) AS v"
    assert client.query(cast)["v"].to_pylist() == [pa.MonthDayNano([1, 0, 0])]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("map([], [])", []),
        ("make_array()", []),
        ("nullif(INTERVAL '1 day', INTERVAL '1 day')", None),
        ("NULL::interval", None),
        ("[NULL::interval]", [None]),
        ("array_agg(NULL::interval)", [None]),
        ("arrow_cast(NULL, 'Dictionary(Int32, Dictionary(Int32, Utf8))')", None),
        ("[arrow_cast(NULL, 'Dictionary(Int8, Dictionary(Int32, Utf8View))')]", [None]),
        ("named_struct('a', map([], []), 'b', NULL)", {"a": [], "b": None}),
        ('arrow_cast(NULL, \'Union(Sparse, 0: ("a": Int32), 1: ("b": Utf8View))\')', None),
        ("with_metadata('{}', 'ARROW:extension:name', 'arrow.json')", "{}"),
        ("with_metadata(1, 'ARROW:extension:name', 'unheard.of')", 1),
        ("row_number() OVER ()", 1),
        ("array_length([1, 2])", 2),
    ],
)
@pytest.mark.parametrize("keep", ["true", "false"])
def test_odd_values_are_answered(server: RunningServer, expression: str, value: Any, keep: str) -> None:
    """Empty, null, unsigned; whether dictionaries are kept or not."""
    table = PyarrowClient(server.url).query(f"SELECT {expression} AS v", {"preserve_dictionary": keep})
    assert table["v"].to_pylist() == [value]
    assert table.schema.types == [plain_type(kind) for kind in table.schema.types]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("map(NULL, NULL)", "map key cannot be null"),
        ("with_metadata('x', 'ARROW:extension:name', 'arrow.uuid')", "Invalid storage type for UuidType"),
        ("arrow_cast('x', 'Dictionary(Int32, Dictionary(Int32, Utf8))')", "dictionary packing"),
        ("arrow_cast(18446744073709551615, 'UInt64')", "a value does not fit into int64"),
        ("arrow_cast(1, 'Nonsense')", "Nonsense"),
    ],
)
def test_values_that_there_cannot_be_are_refused_in_words(client: Client, expression: str, message: str) -> None:
    """They are no failure of the server."""
    with pytest.raises(Refused, match=message) as refused:
        client.query(f"SELECT {expression} AS v")
    assert refused.value.code == "INVALID_ARGUMENT"
    assert "Traceback" not in refused.value.message


# ---- Parameters


def _parameters() -> dict[str, pa.Array]:
    """Arrays of one value, of every type."""
    one = decimal.Decimal("1.5")
    noon = datetime.datetime(2026, 1, 1, 12)
    times = (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    arrays = [
        pa.array([True]),
        *(pa.array([7], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        *(pa.array([7], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
        *(pa.array([1.5], kind) for kind in (pa.float16(), pa.float32(), pa.float64())),
        *(pa.array(["it's"], kind) for kind in (pa.utf8(), pa.large_utf8(), pa.string_view())),
        *(pa.array([b"\0x"], kind) for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2))),
        *(pa.array([one], kind) for kind in (pa.decimal32(5, 1), pa.decimal64(5, 1))),
        *(pa.array([one], kind) for kind in (pa.decimal128(38, 10), pa.decimal256(76, 10))),
        *(pa.array([noon.date()], kind) for kind in (pa.date32(), pa.date64())),
        *(pa.array([noon.time()], kind) for kind in times),
        *(pa.array([noon], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([noon], pa.timestamp("us", "Europe/Zurich")),
        *(pa.array([5], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([(1, -2, 3)], pa.month_day_nano_interval()),
        pa.array([[1, None]], pa.list_(pa.int32())),
        pa.array([[]], pa.list_(pa.utf8())),
        pa.array([["a"]], pa.large_list(pa.utf8())),
        pa.array([[1, 2]], pa.list_(pa.int16(), 2)),
        pa.array([[{"x": (1, 2, 3)}, None]], pa.list_(pa.struct([("x", pa.month_day_nano_interval())]))),
        pa.array([{"a": None, "b": ["x"]}], pa.struct([("a", pa.int8()), ("b", pa.list_(pa.utf8()))])),
        pa.array([[("a", 1), ("b", None)]], pa.map_(pa.utf8(), pa.int32())),
        pa.array([[]], pa.map_(pa.utf8(), pa.int32())),
        pa.array([[(1, ["a"])]], pa.map_(pa.int8(), pa.list_(pa.dictionary(pa.int8(), pa.utf8())))),
        pa.array(["x"]).dictionary_encode(),
        pa.array([5]).dictionary_encode(),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
    ]
    return {f"{number} {array.type}": array for number, array in enumerate(arrays)}


PARAMETERS = _parameters()


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("is_null", [False, True])
def test_parameters_of_every_type_are_taken(server: RunningServer, name: str, is_null: bool) -> None:
    """With their type, null or not."""
    array = PARAMETERS[name]
    bound = pa.nulls(1, array.type) if is_null else array
    table = PyarrowClient(server.url).query_prepared("SELECT ? AS v", pa.record_batch({"0": bound}))
    expected = without_dictionaries(plain_type(value_type(array.type)))
    if "large" not in name and "fixed_size_binary" not in name and "uuid" not in name:
        assert shown(table.schema.field("v").type) == shown(expected)
    (value,) = table["v"].to_pylist()
    if is_null:
        assert value is None
    elif "uuid" not in name:
        assert value == array.to_pylist()[0]


@pytest.mark.parametrize("member", [0, 1])
@pytest.mark.parametrize("is_null", [False, True])
@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_parameters_in_unions_are_of_their_member(server: RunningServer, member: int, is_null: bool, mode: str) -> None:
    """Null or not."""
    values = [pa.array([None if is_null else 7], pa.int64()), pa.array([None if is_null else "x"], pa.utf8())]
    codes = pa.array([member], pa.int8())
    union = (
        pa.UnionArray.from_sparse(codes, values)
        if mode == "sparse"
        else pa.UnionArray.from_dense(codes, pa.array([0], pa.int32()), values)
    )
    table = PyarrowClient(server.url).query_prepared("SELECT ? AS v", pa.record_batch({"0": union}))
    assert table.schema.field("v").type == values[member].type
    assert table["v"].to_pylist() == values[member].to_pylist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([{}], pa.struct([])), "a parameter cannot have type struct<>"),
        (pa.array([None], pa.struct([('a"', pa.int8())])), "cannot have a quote"),
        (pa.array([[1, 2]], pa.list_view(pa.int64())), "of type list_view<item: int64> are not taken"),
        (pa.array([["a"]], pa.large_list_view(pa.utf8())), "of type large_list_view<item: string> are not taken"),
        (pc.run_end_encode(pa.array(["x"])), "of type run_end_encoded.* are not taken"),
    ],
)
def test_parameters_that_sql_cannot_write_are_refused_in_words(
    server: RunningServer, array: pa.Array, message: str
) -> None:
    """As a mistake of the caller."""
    with pytest.raises(Refused, match=message) as refused:
        PyarrowClient(server.url).query_prepared("SELECT ? AS v", pa.record_batch({"0": array}))
    assert refused.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("sql", "parameters", "rows"),
    [
        ("SELECT value FROM range(5) WHERE array_has(?, value) ORDER BY value", [[1, 3]], [1, 3]),
        ("SELECT get_field(?, 'it''s \"') AS v", [{"it's \"": 1}], [1]),
        ("SELECT get_field(?, 'b') AS v", [{"a": 1, "b": "x"}], ["x"]),
        (
            "SELECT DATE '2026-01-01' + CAST(? AS INTERVAL) AS v",
            [pa.MonthDayNano([1, 2, 0])],
            [datetime.date(2026, 2, 3)],
        ),
        ("SELECT property_get(?, 'k') AS v", [pa.scalar([("k", "x")], pa.map_(pa.utf8(), pa.utf8()))], ["x"]),
    ],
)
def test_nested_parameters_are_of_use(client: Client, sql: str, parameters: list[Any], rows: list[Any]) -> None:
    """In the functions that take such values."""
    columns = [pa.array([value], value.type if isinstance(value, pa.Scalar) else None) for value in parameters]
    table = client.query_prepared(sql, pa.record_batch(columns, names=[str(i) for i in range(len(columns))]))
    assert table.column(0).to_pylist() == rows
