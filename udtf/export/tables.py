"""The tables of an exported dataset: spans of threads and tasks together, and each other kind of telemetry.

Every row names its process, program and computer, so that a file says all by itself. Texts are plain text. A time is a
column of microseconds, because not every engine reads nanoseconds, and beside it one of whole nanoseconds since 1970,
whose name ends with `_ns`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udtf.functions.process_spans import rows_of
from udtf.functions.view_instance import parts_of, row_streams
from udtf.lake.metadata import ProcessRow
from udtf.lake.view import View
from udtf.views.catalog import KINDS
from udtf.views.kind import Kind, Part
from udtf.views.spans import PROCESS_SPAN_COLUMNS, TEXT

TIME = pa.timestamp("us", tz="UTC")

_OF_PROCESS = [pa.field("process_id", TEXT, nullable=False), pa.field("exe", TEXT), pa.field("computer", TEXT)]
_SPAN_TYPE = pa.field("span_type", TEXT, nullable=False)


@dataclass(frozen=True)
class Table:
    """A table of the dataset.

    Attributes:
        name: of its folder.
        kinds: what its rows are of, kind after kind.
    """

    name: str
    kinds: tuple[Kind, ...]

    @property
    def has_spans(self) -> bool:
        return self.kinds[0].span_type is not None

    @property
    def begins(self) -> str:
        """The column of times by which a row belongs to its hour."""
        return "begin" if self.has_spans else "time"

    @cached_property
    def schema(self) -> pa.Schema:
        """As it is written: texts are dictionaries, which Parquet has as plain text."""
        before = [*_OF_PROCESS, _SPAN_TYPE] if self.has_spans else _OF_PROCESS
        return pa.schema([*before, *(made for field in self._of_sql for made in _exported_fields(field))])

    @property
    def version(self) -> str:
        """Changes with the columns, and when the same events make other rows."""
        return "-".join([*self.schema.names, *(f"{kind.name}.{kind.schema_version}" for kind in self.kinds)])

    @property
    def _of_sql(self) -> pa.Schema:
        return PROCESS_SPAN_COLUMNS if self.has_spans else self.kinds[0].columns

    def batches(self, view: View, begin_ns: int) -> Iterator[pa.RecordBatch]:
        """The rows of a view of one of the kinds that begin at a time or later, by the `schema`."""
        for part in parts_of(view):
            if part is None:
                continue
            rows = self._rows(view, part)
            begins_ns = np.asarray(rows.column(self.begins).view(pa.int64()))
            if np.any(begins_ns < begin_ns):
                rows = rows.filter(pa.array(begins_ns >= begin_ns))
            if rows.num_rows:
                yield self._exported(view, rows)

    def _rows(self, view: View, part: Part[Any]) -> pa.RecordBatch:
        """As SQL shows them."""
        return rows_of(view, part) if self.has_spans else view.kind.batch(part, view.streams, row_streams(view, part))

    def _exported(self, view: View, rows: pa.RecordBatch) -> pa.RecordBatch:
        texts = _texts_of(view.process)
        if self.has_spans:
            texts.append(view.kind.span_type)
        columns = [_repeated(text, rows.num_rows) for text in texts]
        for column in rows.columns:
            columns += _exported_columns(column)
        return pa.record_batch(columns, schema=self.schema)


def _texts_of(process: ProcessRow) -> list[str | None]:
    return [process.process_id, process.exe, process.computer]


def _repeated(text: str | None, size: int) -> pa.DictionaryArray:
    codes = pa.nulls(size, pa.int32()) if text is None else pa.array(np.zeros(size, np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([text or ""], pa.utf8()))


def _exported_fields(field: pa.Field) -> list[pa.Field]:
    if not pa.types.is_timestamp(field.type):
        return [field]
    return [field.with_type(TIME), pa.field(f"{field.name}_ns", pa.int64(), nullable=field.nullable)]


def _exported_columns(column: pa.Array) -> list[pa.Array]:
    if not pa.types.is_timestamp(column.type):
        return [column]
    times_ns = column.view(pa.int64())
    # In whole microseconds, those before 1970 rounded down as well.
    return [pc.floor_temporal(column, unit="microsecond").cast(TIME), times_ns]


TABLES = [
    Table("spans", tuple(kind for kind in KINDS if kind.span_type is not None)),
    *(Table(kind.name, (kind,)) for kind in KINDS if kind.span_type is None),
]


def table_named(name: str) -> Table:
    """The table of this name; raises KeyError."""
    return {table.name: table for table in TABLES}[name]
