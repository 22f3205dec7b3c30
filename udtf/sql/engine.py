"""Plans and runs SQL over a lake, read-only."""

import threading
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from udtf.arrow.plain_arrays import converted, without_rows
from udtf.errors import InvalidArgument
from udtf.execution.cancellation import QueryCancelled
from udtf.functions.namespace import SCHEMAS
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.sql.lake_tables import LakeTables, catalog_of
from udtf.sql.messages import Greeting, Plan, Planned, encode
from udtf.sql.tables import SessionLimits
from udtf.sql.worker_client import WorkerClient
from udtf.workers.pool import WorkerPool

__all__ = ["Prepared", "Query", "QueryCancelled", "QueryContext", "QueryEngine"]


class QueryEngine:
    """Plans statements over one lake. Safe to use from many threads."""

    def __init__(self, lake: Lake, settings: QuerySettings | None = None) -> None:
        self.settings = settings or QuerySettings()
        limits = SessionLimits(self.settings.query_memory_bytes, self.settings.query_spill_bytes)
        self.workers = WorkerPool(
            "udtf.sql.worker.loop:work",
            encode(Greeting(catalog_of(lake), limits)),
            memory_bytes=limits.memory_bytes,
            max_computing=self.settings.max_computing,
            max_wait_s=self.settings.max_wait_s,
        )
        self._lake = lake
        self._close = weakref.finalize(self, self.workers.close)

    def warm_up(self) -> None:
        """Get ready for the first statement, in the background."""
        threading.Thread(target=self.workers.warm_up, name="warm up", daemon=True).start()

    def close(self) -> None:
        """Stop all queries under way; they end with QueryCancelled."""
        self._close()

    def prepare(self, sql: str, context: QueryContext | None = None) -> "Prepared":
        """Plan one statement whose parameters (`$1`) have no values yet. Raises as `plan`."""
        context = context or QueryContext()
        planned = self._planned(Plan(sql, context.db_schema, is_open=True), self._tables(context))
        return Prepared(planned.schema, {field.name: field.type for field in planned.parameters})

    def plan(self, sql: str, context: QueryContext | None = None) -> "Query":
        """Plan one statement. Nothing is read or changed before its batches are.

        Raises:
            InvalidArgument: the statement is not one, does not fit the tables, or would change something.
            NotFound: an argument names a process or stream that is not there.
            PermissionDenied: it calls a function that is not for the caller.
        """
        return self._query(sql, context or QueryContext())

    def plan_substrait(self, plan: bytes, context: QueryContext | None = None) -> "Query":
        """Plan what a Substrait plan says. Nothing is read before the batches are.

        Raises:
            InvalidArgument: the bytes are no plan, or it does not fit the tables, or would do something else than read.
        """
        return self._query(plan, context or QueryContext())

    def _query(self, statement: str | bytes, context: QueryContext) -> "Query":
        wanted = Plan(statement, context.db_schema)
        tables = self._tables(context)
        return Query(self, tables, wanted, self._planned(wanted, tables))

    def _tables(self, context: QueryContext) -> LakeTables:
        if context.db_schema not in SCHEMAS:
            raise InvalidArgument(f"schema must be one of {', '.join(SCHEMAS)}, given: {context.db_schema!r}")
        tables = LakeTables(self._lake, context, self.settings)
        tables.cancellation.is_cancelled = partial(_is_over, self.workers, context.is_cancelled)
        return tables

    def _planned(self, wanted: Plan, tables: LakeTables) -> Planned:
        with self.workers.planner(tables.cancellation.is_cancelled) as worker:
            return WorkerClient(worker, tables, self.settings).plan(wanted)


@dataclass(frozen=True)
class Prepared:
    """What is known of a statement before its parameters have values: its columns, and the types of parameters (by
    placeholder, `$1`), where they are settled."""

    schema: pa.Schema
    parameter_types: Mapping[str, pa.DataType]


class Query:
    """A planned statement, to be run once."""

    def __init__(self, engine: QueryEngine, tables: LakeTables, wanted: Plan, planned: Planned) -> None:
        self._engine = engine
        self._tables = tables
        self._wanted = wanted
        self._planned = planned
        self.schema = planned.schema

    def batches(self, is_cancelled: Callable[[], bool] = lambda: False) -> Generator[pa.RecordBatch, None, None]:
        """The rows, in batches that carry `schema`; an empty one says that there is nothing new yet. Closing the
        iterator stops the work.

        Args:
            is_cancelled: asked again and again while waiting; when it says so, the work stops.

        Raises:
            QueryCancelled: `is_cancelled` said so, or the engine was closed.
            Overloaded: too many others compute.
            UdtfError: the statement failed while it ran.
        """
        cancellation = self._tables.cancellation
        cancellation.is_cancelled = partial(_is_over, self._engine.workers, is_cancelled)
        scan = self._planned.scan
        nothing = without_rows(self.schema)
        try:
            with closing(self._computed() if scan is None else self._tables.scan(scan)) as batches:
                yield from (nothing if batch is None else self._conform(batch) for batch in batches)
        finally:
            cancellation.is_cancelled = lambda: True  # for scans that have not noticed

    def _computed(self) -> Generator[pa.RecordBatch | None, None, None]:
        """The rows, from the worker that planned the statement. If that has another one by now, as none is kept for
        statements that may never be run, one plans it once more."""
        with self._engine.workers.computer(self._tables.cancellation.is_cancelled, self._planned) as worker:
            client = WorkerClient(worker, self._tables, self._engine.settings)
            try:
                is_planned = worker.prepared is self._planned
                yield from client.run(self._planned if is_planned else client.plan(self._wanted))
            finally:
                self._tables.worker_used(worker.peak_bytes)

    def _conform(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns as declared, nullability included."""
        columns = [converted(column, field.type) for column, field in zip(batch.columns, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _is_over(workers: WorkerPool, is_cancelled: Callable[[], bool]) -> bool:
    return workers.is_closed or is_cancelled()
