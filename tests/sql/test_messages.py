"""Messages between the engine and workers arrive as they were sent."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.errors import InvalidArgument
from udtf.functions.parameter import Parameter
from udtf.sql.conditions import MAX_DEPTH, Condition
from udtf.sql.messages import (
    Ended,
    Failed,
    Greeting,
    Message,
    Plan,
    Planned,
    Rows,
    Run,
    ScanWanted,
    TableRefused,
    TableWanted,
    decode_reply,
    decode_request,
    encode,
)
from udtf.sql.tables import Catalog, PlannedTable, SessionLimits, TableScan

MAX_BYTES = 1 << 20
SCHEMA = pa.schema([pa.field("n", pa.int64(), metadata={"key": "value"}), ("t", pa.timestamp("ns", "UTC"))])
CONDITION = Condition(
    (
        "and_",
        ("or_", ("eq", ("field", "n"), ("constant", pa.scalar(7))), ("is_null", ("field", "t"))),
        ("invert", ("lt", ("field", "t"), ("constant", pa.scalar(1, pa.timestamp("ns", "UTC"))))),
    )
)

columns = {
    "n": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda values: pa.array(values, pa.int64())),
    "text": st.lists(st.none() | st.text(max_size=20)).map(lambda values: pa.array(values, pa.utf8())),
    "coded": st.lists(st.none() | st.text(max_size=3)).map(
        lambda values: pa.array(values, pa.utf8()).dictionary_encode()
    ),
    "bytes": st.lists(st.binary(max_size=100)).map(lambda values: pa.array(values, pa.binary())),
    "lists": st.lists(st.lists(st.integers(0, 9))).map(lambda values: pa.array(values, pa.list_(pa.int64()))),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """Any rows, slices of arrays, also without columns."""
    chosen = {name: draw(column) for name, column in columns.items() if draw(st.booleans())}
    length = min((len(column) for column in chosen.values()), default=0)
    if not chosen:
        return pa.record_batch({"gone": [None] * draw(st.integers(0, 100))}).select([])
    return pa.record_batch({name: column.slice(len(column) - length) for name, column in chosen.items()})


def parts_of(message: Message) -> list[pa.Buffer]:
    return [pa.py_buffer(part) for part in encode(message)]


@pytest.mark.parametrize(
    "request_",
    [
        Greeting(Catalog({"t": SCHEMA}, {"f": [[Parameter("p", "text", "x")]]}), SessionLimits(1, 2)),
        Plan("SELECT 'ä'", "public", is_open=True),
        Plan(b"\xff plan", "public"),
        PlannedTable(3, SCHEMA),
        TableRefused(),
        Run(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_requests(request_: Message) -> None:
    """Of the engine."""
    assert decode_request(parts_of(request_)) == request_


@pytest.mark.parametrize(
    "reply",
    [
        TableWanted("f", {"text": "ä", "time": -(2**63), "flag": True}),
        Planned(SCHEMA, pa.schema([("$1", pa.utf8())]), None),
        Planned(SCHEMA, pa.schema([]), TableScan("processes", ("n", "t"))),
        ScanWanted(TableScan(7, ("n",), CONDITION)),
        Ended(),
        Failed("limit", "too much"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_replies(reply: Message) -> None:
    """Of a worker."""
    assert decode_reply(parts_of(reply), MAX_BYTES) == reply


@given(batches())
def test_rows(batch: pa.RecordBatch) -> None:
    """Dictionaries, slices, no columns and all."""
    got = decode_reply(parts_of(Rows(batch)), MAX_BYTES)
    assert isinstance(got, Rows)
    assert got.batch.num_rows == batch.num_rows
    assert got.batch.equals(batch)


def test_a_condition_is_an_expression_of_pyarrow() -> None:
    """With the unknown of SQL."""
    rows = pa.table({"n": [7, 7, None, 1], "t": pa.array([0, 5, None, 9], pa.timestamp("ns", "UTC"))})
    assert rows.filter(CONDITION.expression())["t"].cast(pa.int64()).to_pylist() == [5]
    assert str(Condition(("add", ("field", "n"), ("field", "n"))).expression()) == str(pc.field("n") + pc.field("n"))


@pytest.mark.parametrize("tree", [(), ("eq",), ("field", 1), ("constant", 1), ("system", ("field", "n")), "field"])
def test_other_trees_are_refused(tree: tuple[object, ...]) -> None:
    """As soon as one is made."""
    with pytest.raises(InvalidArgument):
        Condition(tree)


def test_trees_have_a_depth() -> None:
    """Far less than what recursion would break at."""
    tree: tuple[object, ...] = ("field", "n")
    for _ in range(MAX_DEPTH - 1):
        tree = ("invert", tree)
    assert Condition(tree).expression() is not None
    with pytest.raises(InvalidArgument, match="nested"):
        Condition(("invert", tree))
