"""Spans as columns, of threads or of tasks, and as SQL shows them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake import schemas
from udtf.lake.attributes import as_properties, none
from udtf.lake.matching import OPEN
from udtf.lake.scopes import ScopeTable
from udtf.lake.time_range import TimeRange
from udtf.views.kind import Bools, Int64s

TEXT = pa.dictionary(pa.int32(), pa.utf8())

SCOPE_FIELDS = [
    pa.field("hash", pa.int64(), nullable=False),
    pa.field("name", TEXT, nullable=False),
    pa.field("target", TEXT, nullable=False),
    pa.field("filename", TEXT, nullable=False),
    pa.field("line", pa.int64(), nullable=False),
]

PROPERTIES = pa.field("properties", schemas.PROPERTIES, nullable=False)
"""In SQL: the attributes of a span or an event."""

SPAN_COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("parent", pa.int64(), nullable=False),
        pa.field("depth", pa.int64(), nullable=False),
        SCOPE_FIELDS[0],
        pa.field("begin", schemas.TIMESTAMP, nullable=False),
        pa.field("end", schemas.TIMESTAMP),
        pa.field("duration", pa.int64()),
        *SCOPE_FIELDS[1:],
        PROPERTIES,
    ]
)


PROCESS_SPAN_COLUMNS = pa.schema(
    [
        pa.field("stream_id", TEXT, nullable=False),
        pa.field("thread_name", TEXT, nullable=False),
        *SPAN_COLUMNS,
    ]
)


@dataclass(frozen=True)
class Spans:
    """Some spans as columns of equal length.

    `parents` are ids, -1 or 0 where there is none; `ends_ns` are `OPEN` where the span has not ended; `scopes` are
    codes; `attributes` are None if there are none, or they were not asked for.
    """

    ids: Int64s
    parents: Int64s
    depths: npt.NDArray[np.int32]
    begins_ns: Int64s
    ends_ns: Int64s
    scopes: npt.NDArray[np.int32]
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def overlapping(self, time_range: TimeRange) -> Bools:
        return (self.begins_ns <= time_range.end_ns) & (self.ends_ns >= time_range.begin_ns)

    def take(self, positions: Int64s) -> "Spans":
        return Spans(*taken(self, positions))


def span_batch(spans: Spans, scopes: ScopeTable) -> pa.RecordBatch:
    """Spans as a batch of `SPAN_COLUMNS`; end and duration are null where the span has not ended."""
    is_open = spans.ends_ns == OPEN
    mask = is_open if is_open.any() else None
    scope_hash, *scope = scope_columns(scopes, spans.scopes)
    durations = np.where(is_open, 0, spans.ends_ns - spans.begins_ns)
    return pa.record_batch(
        [
            pa.array(spans.ids),
            pa.array(spans.parents),
            pa.array(spans.depths.astype(np.int64)),
            scope_hash,
            timestamps(spans.begins_ns),
            timestamps(spans.ends_ns, mask),
            pa.array(durations, mask=mask),
            *scope,
            properties_column(spans.attributes, len(spans)),
        ],
        schema=SPAN_COLUMNS,
    )


def process_span_batch(
    spans: Spans,
    scopes: ScopeTable,
    row_streams: npt.NDArray[np.int32],
    stream_ids: pa.StringArray,
    thread_names: pa.StringArray,
) -> pa.RecordBatch:
    """Spans as a batch of `PROCESS_SPAN_COLUMNS`; `row_streams` say which of the streams each is of."""
    codes = pa.array(row_streams)
    names = [pa.DictionaryArray.from_arrays(codes, texts) for texts in (stream_ids, thread_names)]
    return pa.record_batch([*names, *span_batch(spans, scopes).columns], schema=PROCESS_SPAN_COLUMNS)


def taken(columns: Any, positions: Int64s) -> list[Any]:
    """Some of the rows of a data class of columns, which are of numpy or of Arrow, or None."""
    rows = pa.array(positions)
    return [
        column if column is None else column.take(rows) if isinstance(column, pa.Array) else column[positions]
        for column in vars(columns).values()
    ]


def properties_column(attributes: pa.BinaryArray | None, count: int) -> pa.MapArray:
    """The column `properties` of so many rows."""
    return as_properties(none(count) if attributes is None else attributes)


def scope_columns(table: ScopeTable, codes: npt.NDArray[np.int32]) -> list[pa.Array]:
    """The columns of `SCOPE_FIELDS` for rows that name scopes by code."""
    names, targets, filenames, lines = table.scopes.flatten()
    indices = pa.array(codes)
    hashes = (table.hashes & np.uint64(0xFFFFFFFF)).astype(np.int64)
    texts = [pa.DictionaryArray.from_arrays(indices, text) for text in (names, targets, filenames)]
    return [pa.array(hashes[codes]), *texts, lines.cast(pa.int64()).take(indices)]


def timestamps(times_ns: Int64s, mask: Bools | None = None) -> pa.Array:
    """Nanoseconds since the epoch as an Arrow column; null where the mask is set."""
    return pa.array(times_ns, pa.int64(), mask=mask).view(schemas.TIMESTAMP)


def nanoseconds(column: pa.Array) -> Int64s:
    """An Arrow column of int64 or of times as a numpy column; null becomes `OPEN`."""
    integers = column.view(pa.int64())
    if integers.null_count:
        integers = integers.fill_null(int(OPEN))
    return np.asarray(integers.to_numpy(zero_copy_only=True))
