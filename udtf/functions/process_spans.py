"""`process_spans(process_id, span_types)`: the spans of all threads of a process, in the columns of `thread_spans`.

Threads come one after the other, async spans last. An async span has its `span_id` as id and its parent's as parent.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from udtf.execution.ordered import run_ordered
from udtf.functions import span_columns
from udtf.functions.losses import tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, choose
from udtf.lake.async_events import AsyncBatch, AsyncPlan
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS
from udtf.lake.metadata import StreamRow
from udtf.lake.process_view import ProcessView, StreamView
from udtf.lake.thread_spans import SpanBatch, ThreadPlan

SPAN_TYPES = ("thread", "async", "both")

_TEXT = pa.dictionary(pa.int32(), pa.utf8())

COLUMNS = pa.schema(
    [
        pa.field("stream_id", _TEXT, nullable=False),
        pa.field("thread_name", _TEXT, nullable=False),
        *span_columns.THREAD_SPANS,
    ]
)


class ProcessSpans(TableFunction):
    """See the module."""

    name = "process_spans"
    parameters = (Parameter("process_id", "text"), Parameter("span_types", "text"))

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "span_types" in arguments:
            choose("span_types", arguments["span_types"], SPAN_TYPES)
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        query.lake.metadata.process(arguments["process_id"])
        return Rows(schema, lambda: _batches(query, arguments["process_id"], arguments["span_types"]))


def _batches(query: Query, process_id: str, span_types: str) -> Iterator[pa.RecordBatch]:
    lake, time_range = query.lake, query.context.range
    telemetry = lake.telemetry_of(process_id)
    jobs: list[Callable[[], Iterator[pa.RecordBatch]]] = []
    views: list[ProcessView[Any]] = []
    if span_types in ("thread", "both"):
        threads = lake.view(THREAD_SPANS, telemetry, time_range, tally=query.tally)
        threads.start_update()
        views.append(threads)
        jobs += [partial(_thread_spans, query, stream) for stream in threads.streams]
    if span_types in ("async", "both"):
        async_streams = lake.view(ASYNC_EVENTS, telemetry, time_range, tally=query.tally)
        async_streams.start_update()
        views.append(async_streams)
        jobs += [partial(_async_spans, query, stream) for stream in async_streams.streams]
    max_scans = query.scans_at_once(*views)
    yield from run_ordered(
        jobs,
        max_jobs=max_scans,
        max_waiting=2 * max_scans,
        cancellation=query.cancellation,
        on_waiting=query.tally.results_waiting,
    )


def _thread_spans(query: Query, stream: StreamView[ThreadPlan]) -> Iterator[pa.RecordBatch]:
    summaries = stream.finish_update()
    for spans in stream.plan.scan(summaries, stream.read):
        yield _with_stream(stream.stream, span_columns.span_batch(spans))
    tell_losses(query, stream, summaries, query.context.range)


def _async_spans(query: Query, stream: StreamView[AsyncPlan]) -> Iterator[pa.RecordBatch]:
    summaries = stream.finish_update()
    for events in stream.plan.scan(summaries, stream.read):
        begins = events.where(events.is_begin)
        if len(begins):
            yield _with_stream(stream.stream, span_columns.span_batch(_as_spans(begins)))
    tell_losses(query, stream, summaries, query.context.range)


def _as_spans(begins: AsyncBatch) -> SpanBatch:
    return SpanBatch(
        begins.span_ids,
        begins.parent_span_ids,
        begins.depths,
        begins.times_ns,
        begins.other_times_ns,
        begins.scopes,
        begins.scope_table,
    )


def _with_stream(stream: StreamRow, spans: pa.RecordBatch) -> pa.RecordBatch:
    zeros = pa.array(np.zeros(spans.num_rows, np.int32))
    columns = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([stream.stream_id])),
        pa.DictionaryArray.from_arrays(zeros, pa.array([stream.properties.get("thread-name", "")])),
    ]
    return pa.record_batch([*columns, *spans.columns], schema=COLUMNS)
