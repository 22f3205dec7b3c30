"""The spans of one stream, read by a scan of the product's view or by an SQL text, for either way to write them.

Columns are what the product encodes (`SpanBatch`, `AsyncBatch`); rows are record batches as the SQL of the baseline
gives them. Both ways to read give both.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.baseline.sql import rows_of
from benchmarks.baseline.trace import ASYNC_SPANS_SQL, THREAD_SPANS_SQL
from udtf.lake.async_events import AsyncBatch
from udtf.lake.block_format import SCOPE
from udtf.lake.lake import Lake
from udtf.lake.partition_file import OPEN, ScopeTable
from udtf.lake.process_view import StreamView
from udtf.lake.scopes import scope_hashes
from udtf.lake.thread_spans import NO_PARENT, SpanBatch

_SCOPE_COLUMNS_SQL = """arrow_cast({0}name, 'Utf8') AS name, arrow_cast({0}target, 'Utf8') AS target,
    arrow_cast({0}filename, 'Utf8') AS filename, {0}line, {0}hash"""
_THREAD_COLUMNS_SQL = f"""
SELECT id, depth, arrow_cast(begin, 'Int64') AS begin, arrow_cast("end", 'Int64') AS "end",
    {_SCOPE_COLUMNS_SQL.format("")}
FROM{THREAD_SPANS_SQL.partition("FROM")[2]}"""
_ASYNC_COLUMNS_SQL = f"""
SELECT b.span_id, b.parent_span_id, b.depth, arrow_cast(b.time, 'Int64') AS begin, arrow_cast(e.time, 'Int64') AS "end",
    {_SCOPE_COLUMNS_SQL.format("b.")}
FROM{ASYNC_SPANS_SQL.partition("FROM")[2]}"""

Int64s = npt.NDArray[np.int64]
Columns = SpanBatch | AsyncBatch


@dataclass(frozen=True)
class Columnar:
    """The spans of a stream as columns, with all scope tables that they name, which are known before the spans."""

    scope_tables: list[ScopeTable]
    batches: Iterable[Columns] = field(repr=False)


@dataclass(frozen=True)
class Stream:
    """How to read one stream, one way or the other; either brings it up to date first."""

    stream_id: str
    columns: Callable[[], Columnar]
    rows: Callable[[], Iterable[pa.RecordBatch]]


def scanned_thread(view: StreamView[Any]) -> Stream:
    """A thread by a scan of its view."""

    def columns() -> Columnar:
        summaries = view.finish_update()
        batches = view.plan.scan(summaries, view.read, with_parents=False)
        return Columnar([summary.scope_table for summary in summaries.values()], batches)

    return Stream(view.stream.stream_id, columns, lambda: map(_thread_rows, columns().batches))


def scanned_async(view: StreamView[Any]) -> Stream:
    """An async stream by a scan of its view, in which begins know their ends."""

    def columns() -> Columnar:
        summaries = view.finish_update()
        batches = (events.where(events.is_begin) for events in view.plan.scan(summaries, view.read))
        return Columnar([summary.scope_table for summary in summaries.values()], batches)

    return Stream(view.stream.stream_id, columns, lambda: map(_async_rows, columns().batches))


def queried_thread(lake: Lake, stream_id: str) -> Stream:
    """A thread by an SQL text of its own."""

    def columns() -> Columnar:
        batches = rows_of(lake, _THREAD_COLUMNS_SQL.format(stream_id=stream_id))
        spans = [_thread_columns(batch) for batch in batches]
        return Columnar([batch.scope_table for batch in spans], spans)

    return Stream(stream_id, columns, lambda: rows_of(lake, THREAD_SPANS_SQL.format(stream_id=stream_id)))


def queried_async(lake: Lake, process_id: str, stream_id: str) -> Stream:
    """An async stream by a self-join."""

    def columns() -> Columnar:
        sql = _ASYNC_COLUMNS_SQL.format(process_id=process_id, stream_id=stream_id)
        table = pa.Table.from_batches(rows_of(lake, sql))
        spans = [_async_columns(batch) for batch in table.combine_chunks().to_batches()]
        return Columnar([batch.scope_table for batch in spans], spans)

    sql = ASYNC_SPANS_SQL.format(process_id=process_id, stream_id=stream_id)
    return Stream(stream_id, columns, lambda: rows_of(lake, sql))


def _thread_rows(spans: SpanBatch) -> pa.RecordBatch:
    rows = _rows(spans.begins_ns, spans.ends_ns, spans.scopes, spans.scope_table)
    return rows.append_column("depth", pa.array(spans.depths))


def _async_rows(begins: AsyncBatch) -> pa.RecordBatch:
    return _rows(begins.times_ns, begins.other_times_ns, begins.scopes, begins.scope_table)


def _rows(begins_ns: Int64s, ends_ns: Int64s, codes: npt.NDArray[np.int32], table: ScopeTable) -> pa.RecordBatch:
    scopes = table.scopes.take(pa.array(codes))
    texts = {name: scopes.field(name) for name in ("name", "filename", "line")}
    return pa.record_batch({"begin": pa.array(begins_ns), "end": pa.array(ends_ns, mask=ends_ns == OPEN), **texts})


def _thread_columns(rows: pa.RecordBatch) -> SpanBatch:
    table, codes = _scope_table(rows)
    return SpanBatch(
        rows["id"].to_numpy(),
        np.full(len(rows), NO_PARENT),
        rows["depth"].to_numpy(),
        rows["begin"].to_numpy(),
        rows["end"].fill_null(int(OPEN)).to_numpy(),
        codes,
        table,
    )


def _async_columns(rows: pa.RecordBatch) -> AsyncBatch:
    """All spans of an async stream. SQL does not show ordinals of events; times, which are all different in the lakes
    that are measured, are in the same order."""
    table, codes = _scope_table(rows)
    begins_ns, ends_ns = rows["begin"].to_numpy(), rows["end"].fill_null(int(OPEN)).to_numpy()
    times_ns = np.sort(np.concatenate((begins_ns, ends_ns)))
    end_ids = np.where(ends_ns == OPEN, OPEN, np.searchsorted(times_ns, ends_ns))
    return AsyncBatch(
        np.searchsorted(times_ns, begins_ns),
        begins_ns,
        np.ones(len(rows), np.bool_),
        rows["span_id"].to_numpy(),
        rows["parent_span_id"].to_numpy(),
        rows["depth"].to_numpy(),
        codes,
        end_ids,
        ends_ns,
        table,
    )


def _scope_table(rows: pa.RecordBatch) -> tuple[ScopeTable, npt.NDArray[np.int32]]:
    """The scopes of rows, and each row's code. SQL shows 32 bits of a scope's hash: enough for the places of a lake
    that is measured."""
    _, first_rows, codes = np.unique(rows["hash"].to_numpy(), return_index=True, return_inverse=True)
    firsts = rows.select(SCOPE.names).take(pa.array(first_rows))
    scopes = pa.StructArray.from_arrays(firsts.columns, fields=list(SCOPE))
    return ScopeTable(scopes, scope_hashes(scopes)), codes.astype(np.int32)
