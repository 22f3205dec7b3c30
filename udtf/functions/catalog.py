"""Every table and table function that SQL sees."""

from udtf.functions.caused_spans import CausedSpans
from udtf.functions.latency_histogram import LatencyHistogram
from udtf.functions.partition_functions import (
    ListPartitions,
    ListViewSets,
    MaterializeAllPartitions,
    MaterializePartitions,
    RetirePartitions,
)
from udtf.functions.perfetto_trace_chunks import PerfettoTraceChunks
from udtf.functions.process_spans import ProcessSpans
from udtf.functions.profile import Flamegraph, SelfTime
from udtf.functions.query_log import QueryLogFunction
from udtf.functions.server_metrics import ServerMetrics
from udtf.functions.span_attributes import SpanAttributes
from udtf.functions.spans import Spans
from udtf.functions.table_function import TableFunction
from udtf.functions.telemetry_tables import telemetry_tables
from udtf.functions.view_instance import ViewInstance

TABLE_FUNCTIONS: tuple[TableFunction, ...] = (
    ViewInstance(),
    ProcessSpans(),
    Spans(),
    SelfTime(),
    Flamegraph(),
    LatencyHistogram(),
    CausedSpans(),
    SpanAttributes(),
    PerfettoTraceChunks(),
    ListViewSets(),
    ListPartitions(),
    MaterializePartitions(),
    MaterializeAllPartitions(),
    RetirePartitions(),
    ServerMetrics(),
    QueryLogFunction(),
)

__all__ = ["TABLE_FUNCTIONS", "telemetry_tables"]
