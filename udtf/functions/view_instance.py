"""`view_instance(view_set, instance_id)`: one view of one stream or process."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.functions import span_columns
from udtf.functions.losses import tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, view_set_named
from udtf.lake import schemas
from udtf.lake.async_events import AsyncBatch, AsyncPlan
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS
from udtf.lake.partition_file import timestamps
from udtf.lake.process_view import ProcessView, StreamView

_TEXT = pa.dictionary(pa.int32(), pa.utf8())

ASYNC_EVENT_COLUMNS = pa.schema(
    [
        pa.field("stream_id", _TEXT, nullable=False),
        pa.field("block_id", _TEXT, nullable=False),
        pa.field("time", schemas.TIMESTAMP, nullable=False),
        pa.field("event_type", _TEXT, nullable=False),
        pa.field("span_id", pa.int64(), nullable=False),
        pa.field("parent_span_id", pa.int64(), nullable=False),
        pa.field("depth", pa.int64(), nullable=False),
        *span_columns.SCOPE_FIELDS[:2],
        span_columns.SCOPE_FIELDS[3],
        span_columns.SCOPE_FIELDS[2],
        span_columns.SCOPE_FIELDS[4],
    ]
)

_EVENT_TYPES = pa.array(["begin", "end"])


class ViewInstance(TableFunction):
    """See the module."""

    name = "view_instance"
    parameters = (Parameter("view_set", "text"), Parameter("instance_id", "text"))

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "view_set" not in arguments:
            raise InvalidArgument("view_set decides the columns, so it cannot be a parameter: give it as text")
        view_set = view_set_named(arguments["view_set"])
        return span_columns.THREAD_SPANS if view_set is THREAD_SPANS else ASYNC_EVENT_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        view_set = view_set_named(arguments["view_set"])
        instance_id: str = arguments["instance_id"]
        lake, time_range = query.lake, query.context.range
        if view_set is THREAD_SPANS:
            lake.metadata.stream(instance_id)
            return Rows(
                schema, lambda: _spans(query, lake.instance(THREAD_SPANS, instance_id, time_range, query.tally))
            )
        lake.metadata.process(instance_id)
        return Rows(schema, lambda: _events(query, lake.instance(ASYNC_EVENTS, instance_id, time_range, query.tally)))


def _spans(query: Query, view: ProcessView[Any]) -> Iterator[pa.RecordBatch]:
    for stream in view.streams:
        summaries = stream.finish_update()
        for spans in stream.plan.scan(summaries, stream.read):
            yield span_columns.span_batch(spans)
        tell_losses(query, stream, summaries, query.context.range)


def _events(query: Query, view: ProcessView[AsyncPlan]) -> Iterator[pa.RecordBatch]:
    view.start_update()
    for stream in view.streams:
        summaries = stream.finish_update()
        yield from map(partial(_event_batch, stream), stream.plan.scan(summaries, stream.read))
        tell_losses(query, stream, summaries, query.context.range)


def _event_batch(stream: StreamView[AsyncPlan], events: AsyncBatch) -> pa.RecordBatch:
    rows = len(events)
    blocks = [block for run in stream.plan.runs for block in run.blocks]
    block_of = np.searchsorted([block.object_offset for block in blocks], events.event_ids, side="right") - 1
    scope_hash, name, target, filename, line = span_columns.scope_columns(events.scope_table, events.scopes)
    zeros = pa.array(np.zeros(rows, np.int32))
    return pa.record_batch(
        [
            pa.DictionaryArray.from_arrays(zeros, pa.array([stream.stream.stream_id])),
            pa.DictionaryArray.from_arrays(
                pa.array(block_of.astype(np.int32)), pa.array([block.block_id for block in blocks])
            ),
            timestamps(events.times_ns),
            pa.DictionaryArray.from_arrays(pa.array((~events.is_begin).astype(np.int32)), _EVENT_TYPES),
            pa.array(events.span_ids),
            pa.array(events.parent_span_ids),
            pa.array(events.depths, pa.int64()),
            scope_hash,
            name,
            filename,
            target,
            line,
        ],
        schema=ASYNC_EVENT_COLUMNS,
    )
