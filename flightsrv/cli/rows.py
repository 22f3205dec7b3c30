"""Rows of a query on standard output: a table for people, CSV, JSON, or Arrow."""

import base64
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flightsrv.client.times import rfc3339

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def write_rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch], form: str) -> None:
    """Write the rows as 'table', 'csv', 'json' or 'arrow'; all but the table as they arrive."""
    _WRITERS[form](schema, batches)


def _write_table(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    table = Table()
    for field in schema:
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if is_number else "left", overflow="fold")
    for row in _rows(batches):
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        # Whoever reads it then has no window: nothing should be folded.
        console = Console(
            width=max(80, console.measure(table, options=console.options.update(max_width=1 << 20)).maximum)
        )
    console.print(table)


def _write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(schema.names)
    writer.writerows([_cell(value) for value in row] for row in _rows(batches))


def _write_json(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    separator = "["
    for row in _rows(batches):
        sys.stdout.write(f"{separator}\n{_json(dict(zip(schema.names, row, strict=True)))}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def _write_arrow(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    sink = sys.stdout.buffer
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    sink.flush()


_WRITERS: dict[str, Callable[[pa.Schema, Iterable[pa.RecordBatch]], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "arrow": _write_arrow,
}


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind):
        values: list[Any] = column.to_pylist()  # many times faster, and JSON has these as they are
        return values
    return [plain(scalar) for scalar in column]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain(scalar: pa.Scalar) -> Any:
    """A value that JSON has: times as RFC 3339 text, durations as nanoseconds, bytes as base64."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_dictionary(kind):
        return plain(scalar.value)
    if pa.types.is_timestamp(kind):
        text = rfc3339(scalar.value * _UNIT_NS[kind.unit])
        return text if kind.tz else text.removesuffix("Z")
    if pa.types.is_map(kind):
        return {str(plain(entry["key"])): plain(entry["value"]) for entry in scalar.values}
    if pa.types.is_struct(kind):
        return {name: plain(value) for name, value in scalar.items()}
    if pa.types.is_nested(kind):
        return [plain(value) for value in scalar.values]
    if pa.types.is_duration(kind):
        return scalar.value * _UNIT_NS[kind.unit]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return scalar.cast(pa.utf8()).as_py()
    value = scalar.as_py()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None if value != value else str(value)
    return value
