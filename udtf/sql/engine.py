"""From a statement to its rows: plans and runs SQL over a lake, read-only."""

import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import datafusion
import pyarrow as pa

from udtf.errors import InvalidArgument, PermissionDenied, UdtfError
from udtf.execution.cancellation import Cancellation, QueryCancelled
from udtf.functions.catalog import TABLE_FUNCTIONS, telemetry_tables
from udtf.functions.table_function import Query as FunctionQuery
from udtf.functions.table_function import TableFunction
from udtf.lake.lake import Lake
from udtf.query_context import QueryContext
from udtf.settings import QuerySettings
from udtf.sql import placeholders, substrait
from udtf.sql.arguments import bind_arguments, placeholder_types
from udtf.sql.catalog import DEFAULT_SCHEMA, SCHEMAS
from udtf.sql.driver import Driver
from udtf.sql.panics import EnginePanic, panics_as_errors
from udtf.sql.plain_types import without_views
from udtf.sql.streamed_table import StreamedTable
from udtf.sql.tokens import check_size
from udtf.sql.workspace import limit_exceeded

__all__ = ["Query", "QueryCancelled", "QueryContext", "QueryEngine"]

_READ_ONLY = datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


class QueryEngine:
    """Plans statements over one lake. Safe to use from many threads."""

    def __init__(self, lake: Lake, settings: QuerySettings | None = None) -> None:
        self._lake = lake
        self._settings = settings or QuerySettings()
        self._driver = Driver(self._settings)

    def close(self) -> None:
        """Stop all queries under way; they end with QueryCancelled."""
        self._driver.close()

    def plan(self, sql: str, context: QueryContext | None = None) -> "Query":
        """Plan one statement. Nothing is read or changed before its batches are.

        Raises:
            InvalidArgument: the statement is not one, does not fit the tables, or would change something.
            NotFound: an argument names a process or stream that is not there.
        """
        check_size(sql)
        session = _Session(self._lake, self._settings, context or QueryContext())
        return Query(session, session.plan(sql), self._driver)

    def plan_substrait(self, plan: bytes, context: QueryContext | None = None) -> "Query":
        """Plan what a Substrait plan says. Nothing is read before the batches are.

        Raises:
            InvalidArgument: the bytes are no plan, or it does not fit the tables, or would do something else than read.
        """
        session = _Session(self._lake, self._settings, context or QueryContext())
        return Query(session, session.plan_substrait(plan), self._driver)


class _Session:
    """A DataFusion session for one statement: its tables and functions know the call that they serve.

    They know their session by weak references: no garbage collector sees through DataFusion, where both would hold
    each other for ever.
    """

    def __init__(self, lake: Lake, settings: QuerySettings, context: QueryContext) -> None:
        self.cancellation = Cancellation()
        self._settings = settings
        tally = context.tally or lake.metrics.tally()
        if context.visible_processes is not None:
            lake = lake.limited_to(context.visible_processes)
        self._query = FunctionQuery(lake, context, settings, tally, self.cancellation)
        self._argument_types: dict[str, pa.DataType] = {}
        self._error: Exception | None = None
        config = datafusion.SessionConfig().with_information_schema(True)
        # In other dialects `SELECT begin, end` does not parse.
        config = config.set("datafusion.sql_parser.dialect", "postgresql")
        self._context = datafusion.SessionContext(config)
        for name, rows in telemetry_tables(lake).items():
            self._context.register_table(
                name, datafusion.Table(StreamedTable(rows.schema, self._remember_errors(rows.batches)))
            )
        for function in TABLE_FUNCTIONS:
            self._context.register_udtf(datafusion.udtf(self._callable(function), function.name))

        if context.db_schema != DEFAULT_SCHEMA:
            if context.db_schema not in SCHEMAS:
                raise InvalidArgument(f"schema must be one of {', '.join(SCHEMAS)}, given: {context.db_schema!r}")
            self._context.sql(f"SET datafusion.catalog.default_schema = '{context.db_schema}'")

    def plan(self, sql: str) -> datafusion.DataFrame:
        try:
            with panics_as_errors():
                return self._optimized(self._context.sql_with_options(sql, _READ_ONLY))
        except Exception as error:
            raise self.explain(error) from error

    def plan_substrait(self, plan: bytes) -> datafusion.DataFrame:
        try:
            with panics_as_errors():
                logical = substrait.read_plan(plan, self._context)
                return self._optimized(self._context.create_dataframe_from_logical_plan(logical))
        except EnginePanic as error:
            raise InvalidArgument("the plan refers to what is not in it") from error
        except Exception as error:
            raise self.explain(error) from error

    def _optimized(self, frame: datafusion.DataFrame) -> datafusion.DataFrame:
        # Only optimization settles some types, such as that of NULL beside text.
        return self._context.create_dataframe_from_logical_plan(frame.optimized_logical_plan())

    def parameter_types(self, frame: datafusion.DataFrame) -> dict[str, pa.DataType]:
        types = placeholders.placeholder_types(frame, self._context.sql("SELECT 1"))
        return {name: without_views(kind) for name, kind in {**types, **self._argument_types}.items()}

    def explain(self, error: Exception) -> Exception:
        """What caused an error that came out of DataFusion: ours, a mistake of its own, or the statement."""
        if self._error is not None:
            return self._error
        if isinstance(error, UdtfError | EnginePanic):
            return error
        return limit_exceeded(str(error), self._settings) or InvalidArgument(_readable(str(error)))

    def _callable(self, function: TableFunction) -> Callable[..., StreamedTable]:
        session = weakref.proxy(self)

        def plan(*expressions: datafusion.Expr) -> StreamedTable:
            try:
                if function.is_for_administrators and not session._query.context.may_administer:
                    raise PermissionDenied(f"{function.name} is for administrators")
                values = bind_arguments(function, expressions)
                if len(values) < len(expressions):
                    session._argument_types.update(placeholder_types(function, expressions))
                    return StreamedTable(function.schema(values), _unbound)
                rows = function.plan(session._query, **values)
            except Exception as error:
                session._error = error
                raise
            return StreamedTable(rows.schema, session._remember_errors(rows.batches))

        return plan

    def _remember_errors(
        self, batches: Callable[[], Iterator[pa.RecordBatch]]
    ) -> Callable[[], Iterator[pa.RecordBatch]]:
        """On its way through DataFusion an exception becomes text; keep it."""
        session, cancellation = weakref.proxy(self), self.cancellation

        def remembering() -> Iterator[pa.RecordBatch]:
            try:
                for batch in batches():
                    cancellation.check()
                    yield batch
            except Exception as error:
                session._error = error
                raise

        return remembering


class Query:
    """A planned statement, to be run once."""

    def __init__(self, session: _Session, frame: datafusion.DataFrame, driver: Driver) -> None:
        self._session = session
        self._frame = frame
        self._driver = driver
        self.schema = pa.schema([field.with_type(without_views(field.type)) for field in frame.schema()])
        self._nothing = pa.RecordBatch.from_pylist([], self.schema)

    def parameter_types(self) -> dict[str, pa.DataType]:
        """Types of the statement's parameters by placeholder (`$1`), of those whose type is settled."""
        return self._session.parameter_types(self._frame)

    def batches(self, is_cancelled: Callable[[], bool] = lambda: False) -> Generator[pa.RecordBatch, None, None]:
        """The rows, in batches that carry `schema`; an empty one says that there is nothing new yet. Closing the
        iterator stops the work.

        Args:
            is_cancelled: asked again and again while waiting; when it says so, the work stops.

        Raises:
            QueryCancelled: `is_cancelled` said so.
            UdtfError: the statement failed while it ran.
        """
        cancellation = self._session.cancellation
        cancellation.is_cancelled = is_cancelled
        try:
            # Closed here and now: whatever holds on to the generator must not hold on to the query.
            with panics_as_errors(), closing(self._driver.batches(self._frame, cancellation)) as batches:
                yield from (self._nothing if batch is None else self._conform(batch) for batch in batches)
        except QueryCancelled:
            raise
        except Exception as error:
            raise self._session.explain(error) from error

    def _conform(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns as declared: DataFusion may narrow nullability, and clients do not know views."""
        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(batch.columns, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _unbound() -> Iterator[pa.RecordBatch]:
    raise InvalidArgument("a parameter of the statement was not given a value")


def _readable(message: str) -> str:
    """DataFusion's message without the prefixes that say where in DataFusion it arose."""
    for prefix in ("DataFusion error: ", "Error during planning: ", "External error: ", "Execution error: "):
        message = message.removeprefix(prefix)
    return message
