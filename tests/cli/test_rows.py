"""Values of every Arrow type as JSON has them."""

import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from flightsrv.cli.rows import plain, write_rows


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        (pa.scalar(1_000_000_001, pa.timestamp("ns", "UTC")), "1970-01-01T00:00:01.000000001Z"),
        (pa.scalar(1, pa.timestamp("s")), "1970-01-01T00:00:01.000000000"),
        (pa.scalar([("k", "v")], pa.map_(pa.utf8(), pa.utf8())), {"k": "v"}),
        (pa.scalar([("k", None)], pa.map_(pa.utf8(), pa.utf8())), {"k": None}),
        (pa.scalar({"a": [1, None], "b": b"\x00"}), {"a": [1, None], "b": "AA=="}),
        (pa.array(["x"]).dictionary_encode()[0], "x"),
        (pa.scalar(None, pa.int64()), None),
        (pa.scalar(float("nan")), None),
        (pa.scalar(float("-inf")), "-inf"),
        (pa.scalar(2**63, pa.uint64()), 2**63),
        (pa.scalar(Decimal("1.50")), "1.50"),
        (pa.scalar(date(2026, 1, 2)), "2026-01-02"),
        (pa.scalar(True), True),
        (pa.scalar(7, pa.duration("us")), 7_000),
        (pa.scalar(253_402_300_800, pa.timestamp("s")), "253402300800 s"),
        (pa.scalar((1, 2, 3), pa.month_day_nano_interval()), "1 months 2 days 3 ns"),
        (pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([5])])[0], 5),
        (pa.scalar(3_600_000_000_001, pa.time64("ns")), "01:00:00.000000001"),
    ],
)
def test_a_value_becomes_what_json_has(scalar, expected):
    """Times keep their nanoseconds, bytes become base64, and nothing is left that JSON cannot hold."""
    assert plain(scalar) == expected


def test_columns_of_one_name_stay_apart_in_objects(capsys):
    """An object has each name once."""
    batch = pa.RecordBatch.from_arrays([pa.array([number]) for number in range(4)], ["a", "a_2", "a", "b"])
    write_rows(batch.schema, [batch], "json")
    assert json.loads(capsys.readouterr().out) == [{"a": 0, "a_2": 1, "a_3": 2, "b": 3}]


def test_a_table_steers_no_terminal(capsys):
    """Whatever a traced program calls itself; CSV has it as it is, for other programs."""
    batch = pa.record_batch({"name": ["\x1b]0;title\x07\x9b1m", "two\nlines"]})
    write_rows(batch.schema, [batch], "table")
    shown = capsys.readouterr().out
    assert r"\x1b]0;title\x07\x9b1m" in shown
    assert "lines" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}
    write_rows(batch.schema, [batch], "csv")
    assert "\x1b]0;title" in capsys.readouterr().out
