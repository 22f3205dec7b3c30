"""`process_spans(process_id, span_types)`: the spans of all threads of a process, in the columns of `thread_spans`.

Spans of threads come first, then async spans. An async span has its `span_id` as id and its parent's as parent.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, choose
from udtf.functions.view_instance import parts_of, row_streams
from udtf.lake.time_range import TimeRange
from udtf.lake.view import Telemetry, View
from udtf.views.catalog import SPAN_TYPES, kinds_of_spans
from udtf.views.kind import Part
from udtf.views.spans import PROCESS_SPAN_COLUMNS, PROPERTIES, process_span_batch


class ProcessSpans(TableFunction):
    """See the module."""

    name = "process_spans"
    parameters = (Parameter("process_id", "text"), Parameter("span_types", "text"))

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "span_types" in arguments:
            choose("span_types", arguments["span_types"], SPAN_TYPES)
        return PROCESS_SPAN_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        query.lake.metadata.process(arguments["process_id"])
        process_id: str = arguments["process_id"]
        span_types: str = arguments["span_types"]

        def batches(columns: Collection[str] = schema.names) -> Iterator[pa.RecordBatch]:
            return batches_of(query, query.lake.telemetry_of(process_id), span_types, columns)

        return Rows(schema, batches, batches)


def batches_of(
    query: Query,
    telemetry: Telemetry,
    span_types: str,
    columns: Collection[str],
    time_range: TimeRange | None = None,
) -> Iterator[pa.RecordBatch]:
    """The spans of a process; by default, of the time range of the query. An empty batch says that there is nothing new
    yet. `properties` are empty unless they are among the columns named."""
    for kind in kinds_of_spans(span_types):
        view = query.view(kind, telemetry, time_range, with_attributes=PROPERTIES.name in columns)
        for part in parts_of(view):
            yield pa.RecordBatch.from_pylist([], PROCESS_SPAN_COLUMNS) if part is None else rows_of(view, part)
        tell_failures(query, view)
        tell_losses(query, view)


def rows_of(view: View, part: Part[Any]) -> pa.RecordBatch:
    """Rows of a view of spans as a batch of `PROCESS_SPAN_COLUMNS`."""
    spans = view.kind.spans(part)
    return process_span_batch(spans.columns, spans.scopes, row_streams(view, spans), view.stream_ids, view.thread_names)
