"""Arguments of table functions: what may be given for each kind, and what is left out."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from udtf.errors import InvalidArgument
from udtf.functions.namespace import DEFAULT_SCHEMA
from udtf.functions.parameter import Parameter, Value
from udtf.sql.messages import Plan
from udtf.sql.tables import Catalog, PlannedTable, SessionLimits, TableScan
from udtf.sql.worker.session import Session

PARAMETERS = [
    Parameter("name", "text"),
    Parameter("most", "integer"),
    Parameter("since", "time", 0),
    Parameter("is_strict", "boolean", False),
    Parameter("least", "integer", -1),
]


OTHER_FORM = [Parameter("name", "text"), Parameter("since", "time"), Parameter("most", "integer")]


class OneFunction:
    """Tables of a function `f`, which notes what it is called with."""

    def __init__(self) -> None:
        self.values: Mapping[str, Value] = {}

    def plan(self, function: str, values: Mapping[str, Value]) -> PlannedTable:
        self.values = values
        return PlannedTable(1, pa.schema([("n", pa.int64())]))

    def scan(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError


@pytest.fixture
def tables() -> OneFunction:
    """See there."""
    return OneFunction()


def plan(tables: OneFunction, arguments: str, *, is_open: bool = False) -> dict[str, Any]:
    """The types of parameters of a statement that calls the function."""
    session = Session(
        Catalog({}, {"f": [PARAMETERS, OTHER_FORM]}), SessionLimits(64 << 20, 64 << 20), tables, DEFAULT_SCHEMA
    )
    planned = session.plan(Plan(f"SELECT * FROM f({arguments})", DEFAULT_SCHEMA, is_open))
    return {field.name: field.type for field in planned.parameters}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'a', 1", ["a", 1, 0, False, -1]),
        ("'a', -9223372036854775808, TIMESTAMP '1970-01-01T00:00:01Z'", ["a", -(2**63), 10**9, False, -1]),
        ("'a', CAST(7 AS SMALLINT), '1970-01-01T00:00:02Z', true", ["a", 7, 2 * 10**9, True, -1]),
        ("'a', 2 + 3, TIMESTAMP '1970-01-01', false, 9", ["a", 5, 0, False, 9]),
    ],
)
def test_values_have_the_kinds_of_their_parameters(tables: OneFunction, arguments: str, expected: list[Value]) -> None:
    """Constants, computed ones as well; those that are left out have their defaults."""
    plan(tables, arguments)
    assert tables.values == dict(zip((parameter.name for parameter in PARAMETERS), expected, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'a'", "f takes 2 to 5 arguments (name, most, since, is_strict, least), given: 1"),
        ("'a', 1, '1970-01-01', true, 1, 1", "given: 6"),
        ("'a', 'b'", "most of f must be an integer of 64 bits, given: 'b'"),
        ("'a', 1.5", "most of f must be an integer of 64 bits, given: 1.5"),
        ("'a', true", "most of f must be an integer of 64 bits, given: True"),
        (
            "'a', arrow_cast(9223372036854775808, 'UInt64')",
            "most of f must be an integer of 64 bits, given: 9223372036",
        ),
        ("'a', NULL", "most of f must not be null"),
        ("'a', 1, 5", "since of f must be a time"),
        ("'a', 1, '1970-01-01T00:00:00Z', 1", "is_strict of f must be true or false, given: 1"),
        ("'a', 1, '1970-01-01T00:00:00Z', 'true'", "is_strict of f must be true or false, given: 'true'"),
        ("1, 1", "name of f must be text, given: 1"),
    ],
)
def test_other_values_are_refused_by_name(tables: OneFunction, arguments: str, message: str) -> None:
    """What was accepted, and what came."""
    with pytest.raises(InvalidArgument) as raised:
        plan(tables, arguments)
    assert message in str(raised.value)


def test_arguments_of_another_form_are_taken(tables: OneFunction) -> None:
    """Where they do not fit the first one."""
    plan(tables, "'a', TIMESTAMP '1970-01-01T00:00:01Z', 7")
    assert tables.values == {"name": "a", "since": 10**9, "most": 7}
    assert plan(tables, "'a', '1970-01-01T00:00:01Z', $1", is_open=True) == {"$1": pa.int64()}
    with pytest.raises(InvalidArgument, match="most of f must be an integer of 64 bits, given: 'b'"):
        plan(tables, "'a', 'b', 7")


def test_placeholders_have_the_types_of_their_parameters(tables: OneFunction) -> None:
    """So that a client knows what to bind."""
    types = plan(tables, "$1, $2, $3, $4", is_open=True)
    assert types == {"$1": pa.utf8(), "$2": pa.int64(), "$3": pa.timestamp("ns", "UTC"), "$4": pa.bool_()}
    assert tables.values == {"least": -1}
