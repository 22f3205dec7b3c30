"""Values of every Arrow type as JSON has them."""

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from flightsrv.cli.rows import plain


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
        (pa.scalar(3_600_000_000_001, pa.time64("ns")), "01:00:00.000000001"),
    ],
)
def test_a_value_becomes_what_json_has(scalar, expected):
    """Times keep their nanoseconds, bytes become base64, and nothing is left that JSON cannot hold."""
    assert plain(scalar) == expected
