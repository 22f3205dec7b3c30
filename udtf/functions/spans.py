"""`spans(span_types[, begin, end])`: the spans of all processes that have telemetry in a time range, in the columns of
`process_spans` after `process_id` and `exe`.

Processes come in the order in which they started. The database says which of them have telemetry in the range, and
where the statement has conditions on `process_id` or `exe`, nothing is built or read of the others.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from udtf.errors import NotFound
from udtf.functions.parameter import Parameter
from udtf.functions.process_spans import batches_of
from udtf.functions.table_function import OfProcesses, Query, Rows, TableFunction, choose, range_given
from udtf.lake.metadata import HistoryRow, ProcessRow
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange
from udtf.views.catalog import SPAN_TYPES
from udtf.views.spans import PROCESS_SPAN_COLUMNS

# As plain text: DataFusion hands a table no filter with a list of dictionary values.
_OF_PROCESS = [pa.field("process_id", pa.utf8(), nullable=False), pa.field("exe", pa.utf8(), nullable=False)]
COLUMNS = pa.schema([*_OF_PROCESS, *PROCESS_SPAN_COLUMNS])

READ_AHEAD = 2
"""Processes that are begun before the one that is read has ended: their partitions are built and read meanwhile."""

_Batches = Iterator[pa.RecordBatch]


class Spans(TableFunction):
    """See the module. Without a range it is that of the statement."""

    name = "spans"
    parameters = (
        Parameter("span_types", "text"),
        Parameter("begin", "time", MIN_TIME_NS),
        Parameter("end", "time", MAX_TIME_NS),
    )

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "span_types" in arguments:
            choose("span_types", arguments["span_types"], SPAN_TYPES)
        range_given(arguments)
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        time_range = TimeRange(arguments["begin"], arguments["end"]).within(query.context.range)
        span_types: str = arguments["span_types"]
        if time_range is None:
            return Rows(schema, lambda: iter(()))

        def known() -> pa.Table:
            processes = [process for process, _ in _processes(query, time_range)]
            columns = [[each.process_id for each in processes], [each.exe for each in processes]]
            return pa.table([pa.array(column, pa.utf8()) for column in columns], ["process_id", "exe"])

        def rows(wanted: Collection[str] | None = None) -> Rows:
            def batches(columns: Collection[str] = schema.names) -> _Batches:
                return _all(query, span_types, time_range, wanted, columns)

            return Rows(schema, batches, batches)

        return replace(rows(), of_processes=OfProcesses(known, rows))


def _processes(query: Query, time_range: TimeRange) -> Iterator[tuple[ProcessRow, HistoryRow]]:
    """Those with telemetry since the range began."""
    for process, history in chain.from_iterable(query.lake.metadata.scan_processes()):
        if history.last_end_time is not None and history.last_end_time >= time_range.begin_ns:
            yield process, history


def _all(
    query: Query,
    span_types: str,
    time_range: TimeRange,
    wanted: Collection[str] | None,
    columns: Collection[str],
) -> _Batches:
    begun: deque[_Batches] = deque()
    for process, history in _processes(query, time_range):
        if wanted is not None and process.process_id not in wanted:
            continue
        # What other senders tell of may have begun before their process, as far as that is known.
        if process.start_time > time_range.end_ns and not query.lake.histories.nb_touching(history, time_range):
            continue
        batches = _of_process(query, process, span_types, time_range, columns)
        # To take the first one begins the process; it is empty unless its rows are there already.
        begun.append(chain(list(islice(batches, 1)), batches))
        if len(begun) > READ_AHEAD:
            yield from begun.popleft()
    while begun:
        yield from begun.popleft()


def _of_process(
    query: Query, process: ProcessRow, span_types: str, time_range: TimeRange, columns: Collection[str]
) -> _Batches:
    try:
        telemetry = query.lake.telemetry_of(process.process_id)
    except NotFound:
        return  # It has been removed since its row was read.
    for batch in batches_of(query, telemetry, span_types, columns, time_range):
        names = [pa.repeat(text, batch.num_rows) for text in (process.process_id, process.exe)]
        yield pa.record_batch([*names, *batch.columns], schema=COLUMNS)
