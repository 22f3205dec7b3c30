"""What Flight SQL tells of a column beside its name and type: metadata of its field, for drivers that describe columns.

Flags are "1" and "0". What is told follows from the type, and from the table that the column comes from, where that is
known.
"""

from collections.abc import Iterator

import pyarrow as pa

from flightsrv.flightsql.sql_types import TYPES, TypeInfo
from udtf.arrow.plain_types import value_type
from udtf.functions.namespace import CATALOG, DEFAULT_SCHEMA
from udtf.sql.tables import TABLE_OF_COLUMN

_PREFIX = "ARROW:FLIGHT:SQL:"
_TYPES_BY_NAME = {info.type_name: info for info in TYPES}
_DIGITS_OF_UNIT = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_SIGNIFICANT_DIGITS = {"REAL": 7, "DOUBLE": 15}
"""Decimal, of floating-point numbers."""

REMARKS = {
    ("processes", "tsc_frequency"): "ticks in a second",
    ("processes", "start_ticks"): "the start, on the clock of the process",
    ("processes", "insert_time"): "when the process became known",
    ("processes", "last_update_time"): "when telemetry of the process was stored last",
    ("streams", "tags"): "of what the events are: thread, async, log, measure",
    ("streams", "format"): "of the payloads of its blocks",
    ("streams", "insert_time"): "when the stream became known",
    ("streams", "last_update_time"): "when telemetry of the stream was stored last",
    ("blocks", "begin_ticks"): "the first event, on the clock of the process",
    ("blocks", "end_ticks"): "the last event, on the clock of the process",
    ("blocks", "nb_objects"): "events in the block",
    ("blocks", "object_offset"): "events of the stream before the block",
    ("blocks", "payload_size"): "bytes, as stored",
    ("blocks", "insert_time"): "when the block was stored",
}
"""By table and column: what neither name nor type says."""


def with_column_metadata(schema: pa.Schema, catalog: str = CATALOG, db_schema: str = DEFAULT_SCHEMA) -> pa.Schema:
    """The schema of a result as clients get it.

    Args:
        catalog, db_schema: where the tables of its columns are.
    """
    return pa.schema([_described(field, catalog, db_schema) for field in schema], schema.metadata)


def type_name(kind: pa.DataType) -> str | None:
    """The name in SQL, as GetXdbcTypeInfo lists it; None where there is none."""
    kind = value_type(kind)
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    if pa.types.is_decimal(kind):
        return "DECIMAL"
    if pa.types.is_time(kind):
        return "TIME"
    if pa.types.is_fixed_size_binary(kind):
        return "BYTEA"
    return _NAMES.get(kind)


_NAMES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.utf8(): "VARCHAR",
    pa.large_utf8(): "VARCHAR",
    pa.binary(): "BYTEA",
    pa.large_binary(): "BYTEA",
    pa.date32(): "DATE",
    pa.date64(): "DATE",
    pa.month_day_nano_interval(): "INTERVAL",
}


def _described(field: pa.Field, catalog: str, db_schema: str) -> pa.Field:
    metadata = dict(field.metadata or {})
    table = metadata.pop(TABLE_OF_COLUMN, None)
    told = dict(_of_type(field.type))
    if table is not None:
        told.update(CATALOG_NAME=catalog, SCHEMA_NAME=db_schema, TABLE_NAME=table.decode())
        remark = REMARKS.get((table.decode(), field.name))
        if remark is not None:
            told["REMARKS"] = remark
    metadata.update({f"{_PREFIX}{name}".encode(): value.encode() for name, value in told.items()})
    return field.with_metadata(metadata)


def _of_type(kind: pa.DataType) -> Iterator[tuple[str, str]]:
    name = type_name(kind)
    info = _TYPES_BY_NAME.get(name or "")
    yield "IS_AUTO_INCREMENT", "0"
    yield "IS_READ_ONLY", "1"
    yield "IS_CASE_SENSITIVE", _flag(info is not None and info.case_sensitive)
    yield "IS_SEARCHABLE", _flag(info is not None)
    if info is not None:
        yield "TYPE_NAME", info.type_name
        yield from _sizes(value_type(kind), info)


def _sizes(kind: pa.DataType, info: TypeInfo) -> Iterator[tuple[str, str]]:
    """Digits: of numbers in all and behind the point, of times those of a second behind the point."""
    if pa.types.is_decimal(kind):
        yield "PRECISION", str(kind.precision)
        yield "SCALE", str(kind.scale)
    elif pa.types.is_integer(kind):
        yield "PRECISION", str(info.column_size)
        yield "SCALE", "0"
    elif info.type_name in _SIGNIFICANT_DIGITS:
        yield "PRECISION", str(_SIGNIFICANT_DIGITS[info.type_name])
    elif pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        yield "PRECISION", str(info.column_size)
        yield "SCALE", str(_DIGITS_OF_UNIT[kind.unit])
    elif pa.types.is_date(kind):
        yield "PRECISION", str(info.column_size)


def _flag(is_so: bool) -> str:
    return "1" if is_so else "0"
