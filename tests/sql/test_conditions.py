"""That rows pass a WHERE as SQL has it, whoever looks: the engine leaves what it can to tables."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udtf.lake import schemas
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine

TEXTS = [None, "1", "10", "ä"]
COLUMNS = ["process_id", "exe", "username", "tsc_frequency"]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryEngine]:
    """Over processes of which less and less is known."""
    folder: Path = tmp_path_factory.mktemp("conditions")
    lake = Lake.open(str(folder / "lake"))
    rows = [
        {"process_id": f"{number}", "exe": exe, "username": username, "tsc_frequency": 10**9 + number}
        for number, (exe, username) in enumerate(product(TEXTS, TEXTS))
    ]
    schema = pa.schema(
        [schemas.PROCESSES.field(name) for name in (*COLUMNS, "start_time", "start_ticks", "properties")]
    )
    given_besides: dict[str, Any] = {"start_time": 0, "start_ticks": 0, "properties": []}
    lake.ingest("processes", pa.RecordBatch.from_pylist([{**row, **given_besides} for row in rows], schema))
    engine = QueryEngine(lake)
    yield engine
    engine.close()
    lake.close()


def ids(engine: QueryEngine, sql: str) -> list[str]:
    query = engine.plan(sql)
    return sorted(pa.Table.from_batches(list(query.batches()), query.schema)["process_id"].to_pylist())


@pytest.mark.parametrize("condition", ["tags = ARRAY['thread']", "ARRAY['thread'] = tags AND process_id = 'p'"])
def test_what_tables_cannot_compare_the_engine_does(known: QueryEngine, condition: str) -> None:
    """Lists, say."""
    assert ids(known, f"SELECT process_id FROM streams WHERE {condition}") == []


texts = st.sampled_from(["NULL", "'1'", "'10'", "'ä'", "'x'", "exe", "username", "process_id"])
numbers = st.sampled_from(["NULL", "0", "1000000001", "1000000002", "tsc_frequency"])
operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])


def lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Short ones become comparisons before a table hears of them."""
    return st.lists(values, min_size=1, max_size=7).map(lambda chosen: f"({', '.join(chosen)})")


def conditions_of(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, values, operators, values),
        st.builds("({} {} {})".format, values, st.sampled_from(["IN", "NOT IN"]), lists(values)),
        st.builds("({} BETWEEN {} AND {})".format, values, values, values),
        st.builds("({} IS {})".format, values, st.sampled_from(["NULL", "NOT NULL"])),
    )


conditions = st.recursive(
    conditions_of(texts) | conditions_of(numbers) | st.sampled_from(["NULL::boolean", "true", "false"]),
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("({} IS {})".format, inner, st.sampled_from(["TRUE", "NOT TRUE", "FALSE", "UNKNOWN"])),
        inner.map("(NOT {})".format),
    ),
    max_leaves=5,
)


@settings(max_examples=150)
@given(conditions)
def test_where_is_what_the_engine_computes(known: QueryEngine, condition: str) -> None:
    """Beyond a LIMIT, it does so itself."""
    expected = ids(known, f"SELECT process_id FROM (SELECT * FROM processes LIMIT 1000) WHERE {condition}")
    assert ids(known, f"SELECT process_id FROM processes WHERE {condition}") == expected
