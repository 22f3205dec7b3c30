"""SQL in the process of whoever asks, each statement in a session of its own."""

import os
from collections.abc import Iterator

import pyarrow as pa

# A scan that waits for others holds one of DataFusion's threads, which are as many as cores otherwise.
os.environ.setdefault("TOKIO_WORKER_THREADS", "64")

from udtf.catalog import DEFAULT_SCHEMA
from udtf.lake.lake import Lake
from udtf.query_context import QueryContext
from udtf.settings import QuerySettings
from udtf.sql.lake_tables import LakeTables, catalog_of
from udtf.sql.messages import Plan
from udtf.sql.tables import SessionLimits
from udtf.sql.worker.session import Session

_SETTINGS = QuerySettings()
_LIMITS = SessionLimits(_SETTINGS.query_memory_bytes, _SETTINGS.query_spill_bytes)


def rows_of(lake: Lake, sql: str) -> Iterator[pa.RecordBatch]:
    """The rows of a statement."""
    tables = LakeTables(lake, QueryContext(), _SETTINGS)
    session = Session(catalog_of(lake), _LIMITS, tables, DEFAULT_SCHEMA)
    session.plan(Plan(sql, DEFAULT_SCHEMA))
    yield from session.batches()
