"""Rows of a query on standard output: a table for people, CSV, JSON, or Arrow."""

import base64
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flightsrv.cli.text import printable
from flightsrv.client.times import rfc3339

_SHORT_CHARS = 36
"""The length of most ids."""
_LEAST_CHARS = 8
_FRAME_CHARS = 3
"""What a column of a table takes beside its text."""

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def write_rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch], form: str) -> None:
    """Write the rows as 'table', 'csv', 'json' or 'arrow'; all but the table as they arrive."""
    _WRITERS[form](schema, batches)


def _write_table(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    rows = [[printable(_cell(value)) for value in row] for row in _rows(batches)]
    console = Console()
    whole = _columns_left_whole(list(zip(schema.names, *rows, strict=True)), console)
    table = Table()
    for field, is_whole in zip(schema, whole, strict=True):
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_whole)
    for row in rows:
        table.add_row(*map(Text, row))
    if not console.is_terminal:
        # It goes to a file or a pipe, which has no width: nothing should be folded.
        console = Console(
            width=max(80, console.measure(table, options=console.options.update(max_width=1 << 20)).maximum)
        )
    console.print(table)


def _columns_left_whole(columns: Sequence[Sequence[str]], console: Console) -> list[bool]:
    """Columns whose text is to stay on its line, since people copy it: short ones, the first ones before others."""
    widths = [max(map(cell_len, column)) for column in columns]
    room = console.width - sum(_FRAME_CHARS + min(width, _LEAST_CHARS) for width in widths) - 1
    whole = []
    for width in widths:
        more = max(0, width - _LEAST_CHARS)
        whole.append(width <= _SHORT_CHARS and more <= room)
        room -= more if whole[-1] else 0
    return whole


def _write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(schema.names)
    writer.writerows([_cell(value) for value in row] for row in _rows(batches))


def _write_json(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    separator = "["
    names = _distinct(schema.names)
    for row in _rows(batches):
        sys.stdout.write(f"{separator}\n{_json(dict(zip(names, row, strict=True)))}")
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


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number for those that come again: SQL allows it, an object does not."""
    distinct: dict[str, None] = {}
    for name in names:
        candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
        distinct[next(candidate for candidate in candidates if candidate not in distinct)] = None
    return list(distinct)


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
    if pa.types.is_dictionary(kind) or pa.types.is_union(kind):
        return plain(scalar.value)
    if pa.types.is_timestamp(kind):
        try:
            text = rfc3339(scalar.value * _UNIT_NS[kind.unit])
        except OverflowError:
            return f"{scalar.value} {kind.unit}"  # in a year that has more than four digits
        return text if kind.tz else text.removesuffix("Z")
    if pa.types.is_interval(kind):
        months, days, nanoseconds = scalar.as_py()
        return f"{months} months {days} days {nanoseconds} ns"
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
