"""The tables of a lake, for one statement: what is planned, and what its rows are."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidArgument, PermissionDenied
from udtf.execution.cancellation import Cancellation
from udtf.functions.catalog import TABLE_FUNCTIONS, telemetry_tables
from udtf.functions.parameter import PYTHON_TYPES, Value
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.functions.table_function import Query, Rows, TableFunction
from udtf.lake.lake import Lake
from udtf.sql.process_filter import processes_left
from udtf.sql.tables import Catalog, PlannedTable, TableKey, TableScan

FUNCTIONS: Mapping[str, Sequence[TableFunction]] = {
    name: [function for function in TABLE_FUNCTIONS if function.name == name]
    for name in dict.fromkeys(function.name for function in TABLE_FUNCTIONS)
}
"""By name, the forms that each is called in."""


def catalog_of(lake: Lake) -> Catalog:
    """The tables and the table functions of a lake."""
    return Catalog(
        {name: rows.schema for name, rows in telemetry_tables(lake).items()},
        {name: [form.parameters for form in forms] for name, forms in FUNCTIONS.items()},
    )


class LakeTables:
    """`Tables` of a lake, as the caller of a statement sees it. Safe to use from many threads.

    Attributes:
        error: the first reason against a table, or failure of one; it is told to no other statement.
        cancellation: what the tables ask whether to go on.
    """

    def __init__(self, lake: Lake, context: QueryContext, settings: QuerySettings) -> None:
        self.error: Exception | None = None
        self.cancellation = Cancellation()
        self._context = context
        tally = context.tally or lake.metrics.tally()
        if context.visible_processes is not None:
            lake = lake.limited_to(context.visible_processes)
        self._lake = lake
        self._query = Query(lake, context, settings, tally, self.cancellation)
        self._lock = Lock()
        self._tables: dict[TableKey, Rows] = {}
        self._tables.update(telemetry_tables(lake))

    def plan(self, function: str, values: Mapping[str, Value]) -> PlannedTable:
        """Plan the call of a table function. Where values are missing, it has columns, but no rows.

        Raises:
            InvalidArgument, NotFound: a value is wrong.
            PermissionDenied: the function is not for the caller.
        """
        try:
            rows = self._rows_of(_function(function, values), values)
        except Exception as error:
            self.note(error)
            raise
        with self._lock:
            key = len(self._tables)
            self._tables[key] = rows
        return PlannedTable(key, rows.schema)

    def scan(self, scan: TableScan) -> Generator[pa.RecordBatch, None, None]:
        """The rows of a scan; an empty batch says that there is nothing new yet.

        Raises:
            InvalidArgument: the statement has no such table or columns; at once.
            QueryCancelled: the cancellation said so; this and others while rows are read.
            Exception: what went wrong.
        """
        rows = self._tables.get(scan.key)
        if rows is None or not set(scan.columns) <= set(rows.schema.names):
            raise InvalidArgument(f"the statement has no table {scan.key!r} with columns {', '.join(scan.columns)}")
        return self._scanned(scan, rows)

    def _scanned(self, scan: TableScan, rows: Rows) -> Generator[pa.RecordBatch, None, None]:
        columns = list(scan.columns)
        condition = None if scan.filter is None else scan.filter.expression()
        try:
            if condition is not None and rows.of_processes is not None:
                left = processes_left(condition, rows.schema, rows.of_processes.known)
                rows = rows if left is None else rows.of_processes.rows(left)
            for batch in _batches(rows, columns, condition):
                self.cancellation.check()
                if condition is None:
                    yield batch.select(columns)
                else:
                    yield from _filtered(batch, condition).select(columns).combine_chunks().to_batches()
        except Exception as error:
            self.note(error)
            raise

    def note(self, error: Exception) -> None:
        """Remember what went wrong first."""
        with self._lock:
            self.error = self.error or error

    def worker_used(self, size_bytes: int) -> None:
        """Note what a worker took for the statement."""
        self._query.tally.worker_used(size_bytes)

    def _rows_of(self, function: TableFunction, values: Mapping[str, Value]) -> Rows:
        if function.requires_admin and not self._context.may_administer:
            raise PermissionDenied(f"{function.name} is for administrators")
        if len(values) < len(function.parameters):
            return Rows(function.schema(values), _unbound)
        return function.plan(self._query, **values)


def _function(name: str, values: Mapping[str, Value]) -> TableFunction:
    """Raises InvalidArgument where there is none that takes these values."""
    for function in FUNCTIONS.get(name, ()):
        kinds = {parameter.name: parameter.kind for parameter in function.parameters}
        if all(type(value) is PYTHON_TYPES.get(kinds.get(key)) for key, value in values.items()):
            return function
    raise InvalidArgument(f"there is no table function {name!r} of such arguments")


def _batches(rows: Rows, columns: Sequence[str], condition: pc.Expression | None) -> Iterator[pa.RecordBatch]:
    """The rows, with the columns that are named and those that the condition looks at, at least."""
    if rows.with_columns is None:
        return rows.batches()
    if condition is None:
        return rows.with_columns(columns)
    # An expression does not say which columns it looks at, but has all of their names in its text.
    text = str(condition)
    return rows.with_columns({*columns, *(name for name in rows.schema.names if name in text)})


def _filtered(batch: pa.RecordBatch, condition: pc.Expression) -> pa.Table:
    try:
        return pa.Table.from_batches([batch]).filter(condition)
    except pa.ArrowException as error:
        raise InvalidArgument(f"the rows cannot be filtered as the statement says: {error}") from error


def _unbound() -> Iterator[pa.RecordBatch]:
    raise InvalidArgument("a parameter of the statement was not given a value")
