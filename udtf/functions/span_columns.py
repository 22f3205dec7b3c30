"""From batches of spans to the columns that SQL shows."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake import schemas
from udtf.lake.partition_file import OPEN, ScopeTable, timestamps
from udtf.lake.thread_spans import SpanBatch

_TEXT = pa.dictionary(pa.int32(), pa.utf8())

SCOPE_FIELDS = [
    pa.field("hash", pa.int64(), nullable=False),
    pa.field("name", _TEXT, nullable=False),
    pa.field("target", _TEXT, nullable=False),
    pa.field("filename", _TEXT, nullable=False),
    pa.field("line", pa.int64(), nullable=False),
]

THREAD_SPANS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("parent", pa.int64(), nullable=False),
        pa.field("depth", pa.int64(), nullable=False),
        SCOPE_FIELDS[0],
        pa.field("begin", schemas.TIMESTAMP, nullable=False),
        pa.field("end", schemas.TIMESTAMP),
        pa.field("duration", pa.int64()),
        *SCOPE_FIELDS[1:],
    ]
)


def span_batch(spans: SpanBatch) -> pa.RecordBatch:
    """Spans as a batch of `THREAD_SPANS`; end and duration are null where the span has not ended."""
    is_open = spans.ends_ns == OPEN
    mask = is_open if is_open.any() else None
    scope_hash, *scope = scope_columns(spans.scope_table, spans.scopes)
    durations = np.where(is_open, 0, spans.ends_ns - spans.begins_ns)
    return pa.record_batch(
        [
            pa.array(spans.ids),
            pa.array(spans.parents),
            pa.array(spans.depths, pa.int64()),
            scope_hash,
            timestamps(spans.begins_ns),
            timestamps(spans.ends_ns, mask),
            pa.array(durations, mask=mask),
            *scope,
        ],
        schema=THREAD_SPANS,
    )


def scope_columns(table: ScopeTable, codes: npt.NDArray[np.int32]) -> list[pa.Array]:
    """The columns of `SCOPE_FIELDS` for rows that name scopes by code."""
    names, targets, filenames, lines = table.scopes.flatten()
    indices = pa.array(codes)
    hashes = (table.hashes & np.uint64(0xFFFFFFFF)).astype(np.int64)
    texts = [pa.DictionaryArray.from_arrays(indices, text) for text in (names, targets, filenames)]
    return [pa.array(hashes[codes]), *texts, lines.cast(pa.int64()).take(indices)]
