"""Which processes a filter leaves, and that nobody reads the others."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.places import StatementCounter
from tests.server.telemetry import Recording
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine
from udtf.sql.process_filter import processes_left

SCHEMA = pa.schema([("process_id", pa.utf8()), ("n", pa.int64()), ("text", pa.utf8())])
PROCESSES = ["a", "b", "c"]
KNOWN = pa.table({"process_id": PROCESSES})
ID, N, TEXT = (pc.field(name) for name in SCHEMA.names)

comparisons = st.one_of(
    st.sampled_from(PROCESSES).map(lambda value: value == ID),
    st.sampled_from(PROCESSES).map(lambda value: value < ID),
    st.lists(st.sampled_from(PROCESSES)).map(lambda values: ID.isin(pa.array(values, pa.utf8()))),
    st.integers(0, 3).map(lambda value: value <= N),
    st.sampled_from(["a", "x"]).map(lambda value: value != TEXT),
    st.just(ID == TEXT),
    st.sampled_from([ID, N, TEXT]).map(lambda column: column.is_null()),
    st.sampled_from([ID, N, TEXT]).map(lambda column: column.is_valid()),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda condition: ~condition),
    ),
    max_leaves=6,
)
rows = st.lists(st.tuples(st.sampled_from(PROCESSES), st.none() | st.integers(0, 3), st.none() | st.sampled_from("ax")))


@given(conditions, rows)
def test_no_row_that_passes_is_of_a_process_left_out(
    condition: pc.Expression, values: list[tuple[str, int | None, str | None]]
) -> None:
    """Whatever is asked besides."""
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in values], SCHEMA)
    left = processes_left(condition, SCHEMA, lambda: KNOWN)
    assert left is None or left >= set(table.filter(condition)["process_id"].to_pylist())


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        (ID == "b", "b"),
        ((ID == "b") & (N > 1), "b"),
        ((ID == "b") | (ID == "c"), "bc"),
        ((ID == "b") | (N > 1), None),
        (ID == "z", ""),
        (N > 1, None),
        ((ID == "b") & N.is_null(), None),
        ((ID == "b") & (TEXT == "is_valid"), None),
    ],
    ids=str,
)
def test_what_is_left(condition: pc.Expression, left: str | None) -> None:
    """No more than that, where it is known."""
    assert processes_left(condition, SCHEMA, lambda: KNOWN) == (None if left is None else set(left))


@pytest.mark.parametrize(
    "condition", ["process_id = '{0}'", "'{0}' = process_id AND nb_objects > 1", "process_id IN ('{0}', '{1}')"]
)
def test_blocks_of_other_processes_are_not_read(empty_lake: Lake, engine: QueryEngine, condition: str) -> None:
    """The database gives those that were asked for."""
    recordings = [Recording() for _ in range(3)]
    for recording in recordings:
        for table, batch in recording.tables().items():
            empty_lake.ingest(table, batch)
    query = engine.plan(
        "SELECT process_id FROM blocks WHERE " + condition.format(*(each.process_id for each in recordings))
    )
    with StatementCounter() as counter:
        found = pa.Table.from_batches(list(query.batches()), query.schema)
    assert set(found["process_id"].to_pylist()) <= {each.process_id for each in recordings[:2]}
    assert found.num_rows == condition.count("{")
    assert sum("FROM segments" in statement for statement in counter.statements) == 1
    assert all("WHERE" in statement for statement in counter.statements if "FROM segments" in statement)
