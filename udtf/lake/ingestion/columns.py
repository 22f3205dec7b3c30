"""Columns of the telemetry tables, as clients send them."""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidTelemetry
from udtf.lake.properties import as_properties

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_columns(batch: pa.RecordBatch, known: Sequence[str], required: Sequence[str]) -> None:
    """Raises InvalidTelemetry if a column is missing, unknown, or given twice."""
    unknown = [name for name in batch.schema.names if name not in known]
    if unknown:
        raise InvalidTelemetry(f"unknown column {unknown[0]!r}, expected columns among {', '.join(known)}")
    if len(set(batch.schema.names)) < batch.num_columns:
        raise InvalidTelemetry(f"a column is given twice: {', '.join(batch.schema.names)}")
    missing = [name for name in required if name not in batch.schema.names]
    if missing:
        raise InvalidTelemetry(f"column {missing[0]!r} is missing, expected at least {', '.join(required)}")


def rows_of(batch: pa.RecordBatch, schema: pa.Schema, required: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a batch with every column of the schema; what was not sent is None, or empty where null is not
    allowed. Times are nanoseconds."""
    check_columns(batch, schema.names, required)
    columns: dict[str, list[Any]] = {}
    for field in schema:
        if field.name not in batch.schema.names:
            columns[field.name] = [_default(field)] * batch.num_rows
            continue
        column = cast(batch.column(field.name), field)
        if field.name in required and column.null_count:
            raise InvalidTelemetry(f"column {field.name!r} has a null, expected a value in every row")
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.int64())
        values = column.to_pylist()
        if pa.types.is_map(field.type):
            values = [_properties(field.name, value) for value in values]
        columns[field.name] = [_default(field) if value is None else value for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _default(field: pa.Field) -> Any:
    return {} if pa.types.is_map(field.type) else None


def _properties(name: str, pairs: list[tuple[str, str | None]] | None) -> dict[str, str]:
    properties = dict(pairs or ())
    if any(value is None for value in properties.values()):
        raise InvalidTelemetry(f"column {name!r} has a key without a value, expected text for every key")
    return {key: value for key, value in properties.items() if value is not None}


def cast(column: pa.Array, field: pa.Field) -> pa.Array:
    """What clients send for a type: other widths, dictionaries, views, times without a zone (taken as UTC)."""
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = pc.assume_timezone(column, "UTC")
        if pa.types.is_map(field.type):
            column.validate(full=True)
            column = as_properties(column, field.name)
        column = column.cast(field.type)
        column.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidTelemetry(
            f"column {field.name!r} has type {column.type}, expected {field.type}: {reason}"
        ) from error
    if any(pc.any(pc.match_substring(text, "\0")).as_py() for text in _texts(column)):
        raise InvalidTelemetry(f"column {field.name!r} has a NUL character, expected text that every database takes")
    return column


def _texts(column: pa.Array) -> list[pa.Array]:
    """All text in a column, that of lists and maps included."""
    if pa.types.is_map(column.type):
        return [column.keys, column.items]
    if pa.types.is_list(column.type):
        return _texts(column.values)
    return [column] if pa.types.is_string(column.type) else []


def check_id(name: str, value: str) -> None:
    """Ids name objects in the store, so they must be harmless as parts of a path."""
    if not _ID.fullmatch(value):
        raise InvalidTelemetry(
            f"{name} {value[:200]!r} is not an id, expected 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
