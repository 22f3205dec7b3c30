"""`latency_histogram(process_id, name[, begin, end])`: how long the spans of a function took, thread and async ones.

There are four buckets for each doubling, from one nanosecond on: the end of a bucket is at most a fifth more than its
begin. There is a row for each bucket from the first to the last that has spans. Spans that have not ended do not count.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.profile import PROCESS_AND_RANGE
from udtf.functions.table_function import Query, Rows, TableFunction, range_given
from udtf.functions.view_instance import parts_of
from udtf.lake.matching import OPEN
from udtf.lake.time_range import TimeRange
from udtf.views.catalog import kinds_of_spans
from udtf.views.kind import Int64s

COLUMNS = pa.schema(
    [
        pa.field("at_least_ns", pa.int64(), nullable=False),
        pa.field("below_ns", pa.int64(), nullable=False),
        pa.field("spans", pa.int64(), nullable=False),
        pa.field("share_below", pa.float64(), nullable=False),
    ]
)

BUCKETS_PER_DOUBLING = 4
_EXPONENTS = np.arange(63 * BUCKETS_PER_DOUBLING) / BUCKETS_PER_DOUBLING
BOUNDS_NS: Int64s = np.unique([0, *np.exp2(_EXPONENTS).astype(np.int64), np.iinfo(np.int64).max])
"""Where buckets begin and end."""


class LatencyHistogram(TableFunction):
    """See the module. `share_below` is the share of all spans that took less than the bucket's end."""

    name = "latency_histogram"
    parameters = (PROCESS_AND_RANGE[0], Parameter("name", "text"), *PROCESS_AND_RANGE[1:])

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        range_given(arguments)
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        process_id: str = arguments["process_id"]
        query.lake.metadata.process(process_id)
        time_range = TimeRange(arguments["begin"], arguments["end"]).within(query.context.range)
        if time_range is None:
            return Rows(schema, lambda: iter(()))
        return Rows(schema, lambda: _batches(query, process_id, arguments["name"], time_range))


def _batches(query: Query, process_id: str, name: str, time_range: TimeRange) -> Iterator[pa.RecordBatch]:
    telemetry = query.lake.telemetry_of(process_id)
    counts = np.zeros(len(BOUNDS_NS), np.int64)
    for kind in kinds_of_spans("both"):
        view = query.view(kind, telemetry, time_range)
        for part in parts_of(view):
            if part is None:
                yield pa.RecordBatch.from_pylist([], COLUMNS)
                continue
            part = kind.spans(part)
            is_wanted = np.asarray(pc.equal(part.scopes.scopes.field("name"), name))
            spans = part.columns
            wanted = np.flatnonzero(is_wanted[spans.scopes] & (spans.ends_ns != OPEN))
            durations_ns = spans.ends_ns[wanted] - spans.begins_ns[wanted]
            buckets = np.searchsorted(BOUNDS_NS, durations_ns, side="right") - 1
            counts += np.bincount(buckets, minlength=len(counts))
        tell_failures(query, view)
        tell_losses(query, view)
    yield _histogram(counts)


def _histogram(counts: Int64s) -> pa.RecordBatch:
    filled = np.flatnonzero(counts)
    shown = np.arange(filled[0], filled[-1] + 1) if len(filled) else filled
    shares = np.cumsum(counts)[shown] / max(counts.sum(), 1)
    return pa.record_batch([BOUNDS_NS[shown], BOUNDS_NS[shown + 1], counts[shown], shares], schema=COLUMNS)
