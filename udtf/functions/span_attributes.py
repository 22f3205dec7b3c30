"""`span_attributes(process_id, stream_id, id[, begin, end])`: the attributes of one span, a row for each, with the type
that it was noted with, which the map `properties` does not tell.

A span is known by its stream and its id there, as `process_spans` shows them, and looked for in the range.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.one_span import OneSpanFunction
from udtf.functions.table_function import Query
from udtf.functions.view_instance import parts_of
from udtf.lake.attributes import as_entries
from udtf.lake.time_range import TimeRange
from udtf.lake.view import Telemetry
from udtf.views.catalog import kinds_of_spans

COLUMNS = pa.schema(
    [
        pa.field("key", pa.utf8(), nullable=False),
        pa.field("type", pa.utf8(), nullable=False),
        pa.field("value", pa.utf8(), nullable=False),
    ]
)


class SpanAttributes(OneSpanFunction):
    """See the module. The type is 'text', 'integer', 'float', 'boolean' or 'json'."""

    name = "span_attributes"
    columns = COLUMNS

    def rows(
        self,
        query: Query,
        telemetry: Telemetry,
        stream_id: str,
        span_id: int,
        time_range: TimeRange,
        columns: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        for kind in kinds_of_spans("both"):
            of_kind = [stream for stream in telemetry.of_kind(kind) if stream.stream_id == stream_id]
            if not of_kind:
                continue
            view = query.view(kind, replace(telemetry, streams=of_kind), time_range, with_attributes=True)
            for part in parts_of(view):
                yield pa.RecordBatch.from_pylist([], COLUMNS)
                if part is None:
                    continue
                spans = kind.spans(part).columns
                found = np.flatnonzero(spans.ids == span_id)
                if len(found) and spans.attributes is not None:
                    keys, types, values = as_entries(spans.attributes.take(pa.array(found[:1])))
                    yield pa.record_batch([keys, types, values], schema=COLUMNS)
                    return
            tell_failures(query, view)
            tell_losses(query, view)
