"""Integers are signed: JDBC and Go cannot read others."""

import pyarrow as pa
import pytest

from udtf.functions.catalog import TABLE_FUNCTIONS, telemetry_tables
from udtf.functions.table_function import TableFunction
from udtf.lake.lake import Lake

ARGUMENTS = {"view_set": ("thread_spans", "async_events"), "span_types": ("both",)}


def is_unsigned(kind: pa.DataType) -> bool:
    """At any depth."""
    if pa.types.is_dictionary(kind):
        return is_unsigned(kind.index_type) or is_unsigned(kind.value_type)
    return bool(pa.types.is_unsigned_integer(kind)) or any(
        is_unsigned(kind.field(i).type) for i in range(kind.num_fields)
    )


@pytest.mark.parametrize("function", TABLE_FUNCTIONS, ids=lambda function: function.name)
def test_functions_have_no_unsigned_columns(function: TableFunction) -> None:
    """None of them, whatever the arguments that decide the columns."""
    names = [parameter.name for parameter in function.parameters]
    for view_set in ARGUMENTS["view_set"] if "view_set" in names else ("",):
        arguments = {name: ARGUMENTS[name][0] for name in names if name in ARGUMENTS}
        if view_set:
            arguments["view_set"] = view_set
        schema = function.schema(arguments)
        assert [field.name for field in schema if is_unsigned(field.type)] == []


def test_tables_have_no_unsigned_columns(lake: Lake) -> None:
    """Nor have those of telemetry."""
    for rows in telemetry_tables(lake).values():
        assert [field.name for field in rows.schema if is_unsigned(field.type)] == []
