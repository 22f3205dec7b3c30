"""`span_attributes(process_id, stream_id, id[, begin, end])`: the attributes of one span, a row for each, with the type
that it was noted with, which the map `properties` does not tell.

A span is known by its stream and its id there, as `process_spans` shows them, and looked for in the range.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, range_given
from udtf.functions.view_instance import parts_of
from udtf.lake.attributes import as_entries
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange
from udtf.lake.view import Telemetry
from udtf.views.catalog import kinds_of_spans

COLUMNS = pa.schema(
    [
        pa.field("key", pa.utf8(), nullable=False),
        pa.field("type", pa.utf8(), nullable=False),
        pa.field("value", pa.utf8(), nullable=False),
    ]
)


class SpanAttributes(TableFunction):
    """See the module. The type is 'text', 'integer', 'float', 'boolean' or 'json'."""

    name = "span_attributes"
    parameters = (
        Parameter("process_id", "text"),
        Parameter("stream_id", "text"),
        Parameter("id", "integer"),
        Parameter("begin", "time", MIN_TIME_NS),
        Parameter("end", "time", MAX_TIME_NS),
    )

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        range_given(arguments)
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        query.lake.metadata.process(arguments["process_id"])
        time_range = TimeRange(arguments["begin"], arguments["end"]).within(query.context.range)

        def batches() -> Iterator[pa.RecordBatch]:
            if time_range is None:
                return
            telemetry = query.lake.telemetry_of(arguments["process_id"])
            stream_id: str = arguments["stream_id"]
            of_stream = [stream for stream in telemetry.streams if stream.stream_id == stream_id]
            if not of_stream:
                raise InvalidArgument(f"stream_id must be that of a stream of the process, given: {stream_id!r}")
            yield from _rows(query, telemetry, stream_id, arguments["id"], time_range)

        return Rows(schema, batches)


def _rows(
    query: Query, telemetry: Telemetry, stream_id: str, span_id: int, time_range: TimeRange
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
