"""Functions that SQL has beyond those of DataFusion."""

import pyarrow as pa
import pytest

from tests.sql.rows import rows, table
from udtf.sql.engine import QueryEngine
from udtf.sql.worker.scalar_functions import PROPERTIES, properties_length, property_get

MAPS = pa.array([[("a", "x"), ("b", None)], None, [], [("b", "y"), ("b", "z")]], PROPERTIES)


@pytest.mark.parametrize("begin", range(5))
def test_properties_are_read_by_key(begin: int) -> None:
    """Row by row, in slices as well; of two with one key the first counts, and null is the value of none."""
    part = MAPS.slice(begin)
    keys = pa.array(["a", "a", "a", "b"][begin:])
    assert property_get(part, keys).to_pylist() == ["x", None, None, "y"][begin:]
    assert property_get(part, pa.array(["b", None, None, None][begin:], pa.utf8())).null_count == 4 - begin
    assert properties_length(part).to_pylist() == [2, None, 0, 2][begin:]


def test_properties_of_null_rows_do_not_count() -> None:
    """Even where there are some behind the null."""
    hidden = pa.MapArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), pa.array(["a", "a"]), pa.array(["x", "y"]), mask=pa.array([True, False])
    )
    assert property_get(hidden, pa.array(["a", "a"])).to_pylist() == [None, "y"]
    assert properties_length(hidden).to_pylist() == [None, 1]


def test_properties_are_read_in_statements(engine: QueryEngine) -> None:
    """Of a column, with a key that is a constant, a column, or null."""
    sql = """
        SELECT Property_Get(m, 'a') AS a, property_get(m, k) AS b, property_get(m, NULL) AS c, properties_length(m) AS n
        FROM (VALUES (map(['a', 'b'], ['x', 'y']), 'b'), (NULL, 'b')) AS t(m, k)
    """
    assert rows(engine, sql) == [{"a": "x", "b": "y", "c": None, "n": 2}, {"a": None, "b": None, "c": None, "n": None}]
    assert rows(engine, "SELECT property_get(properties, 'a') AS a FROM processes LIMIT 1") == []


def test_octets_are_counted_of_text_and_of_bytes(engine: QueryEngine) -> None:
    """As PostgreSQL counts them, one after the other in any order."""
    for expression in ("'ä'", "X'00ff'", "arrow_cast('ä', 'Utf8View')"):
        assert rows(engine, f"SELECT octet_length({expression}) AS n") == [{"n": 2}]
    sql = "SELECT sum(octet_length(b)) AS n, count(*) AS m FROM (VALUES (X'00'), (NULL), (X'0011')) AS t(b)"
    assert rows(engine, sql) == [{"n": 3, "m": 3}]
    chunks = "perfetto_trace_chunks($1, 'both', $2, $3)"
    assert engine.prepare(f"SELECT sum(octet_length(chunk_data)) FROM {chunks}").schema.types == [pa.int64()]


def test_times_have_the_zone_of_columns(engine: QueryEngine) -> None:
    """So they can be compared, and moved to other zones."""
    sql = """
        SELECT now() AS a, current_timestamp AS b, to_timestamp('2026-01-01T00:00:00') AS c, max(insert_time) AS d,
            '2026-01-01T00:00:00'::timestamptz AS e, to_timestamp_millis(5) AS f, coalesce(max(insert_time), now()) AS g
        FROM processes
    """
    assert {kind.tz for kind in table(engine, sql).schema.types} == {"UTC"}
    moved = "SELECT arrow_cast(to_timestamp('2026-01-01T01:47:55Z') AT TIME ZONE 'Europe/Berlin', 'Utf8') AS t"
    assert rows(engine, moved) == [{"t": "2026-01-01T02:47:55+01:00"}]
    assert rows(engine, "SHOW TIME ZONE")[0]["value"] == "UTC"
