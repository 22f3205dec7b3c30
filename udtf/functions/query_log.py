"""`query_log()`: the last queries and ingestions of this server that ended, as rows."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.functions.table_function import Query, Rows, TableFunction
from udtf.lake import schemas
from udtf.observability.query_log import QueryLog

COLUMNS = pa.schema(
    [
        pa.field("query_id", pa.utf8(), nullable=False),
        pa.field("user", pa.utf8(), nullable=False),
        pa.field("peer", pa.utf8(), nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("statement", pa.utf8(), nullable=False),
        pa.field("begin", schemas.TIMESTAMP, nullable=False),
        pa.field("duration", pa.int64(), nullable=False),
        pa.field("nb_rows", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("outcome", pa.utf8(), nullable=False),
        pa.field("error", pa.utf8()),
        pa.field("memory_bytes", pa.int64(), nullable=False),
    ]
)


class QueryLogFunction(TableFunction):
    """See the module. Durations are nanoseconds."""

    name = "query_log"
    requires_admin = True

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        return Rows(COLUMNS, lambda: _batches(query.context.query_log))


def _batches(query_log: QueryLog) -> Iterator[pa.RecordBatch]:
    records = query_log.records()
    attributes = [{"begin": "begin_ns", "duration": "duration_ns"}.get(name, name) for name in COLUMNS.names]
    columns = [
        pa.array([getattr(record, attribute) for record in records], kind)
        for attribute, kind in zip(attributes, COLUMNS.types, strict=True)
    ]
    yield pa.record_batch(columns, schema=COLUMNS)
