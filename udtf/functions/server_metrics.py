"""`server_metrics()`: the metrics of this server as rows, the same that Prometheus reads."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.functions.table_function import Query, Rows, TableFunction
from udtf.observability.metrics import Metrics

COLUMNS = pa.schema(
    [
        pa.field("name", pa.utf8(), nullable=False),
        pa.field("labels", pa.map_(pa.utf8(), pa.utf8()), nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("help", pa.utf8(), nullable=False),
    ]
)


class ServerMetrics(TableFunction):
    """See the module. A histogram is several rows, as in Prometheus: `_bucket` (label `le`), `_sum`, `_count`."""

    name = "server_metrics"
    requires_admin = True

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        return Rows(COLUMNS, lambda: _batches(query.lake.metrics))


def _batches(metrics: Metrics) -> Iterator[pa.RecordBatch]:
    rows = [
        (sample.name, list(sample.labels.items()), family.type, sample.value, family.documentation)
        for family in metrics.shown.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    yield pa.record_batch(
        [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), COLUMNS.types, strict=True)],
        schema=COLUMNS,
    )
