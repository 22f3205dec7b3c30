"""A DataFusion session: plans statements over tables of the server, and runs them, read-only.

What a query computes for itself has a pool of memory. What sorts and aggregates cannot hold in it they spill into files
in the folder for temporary files (`TMPDIR`), whose number of bytes is bounded as well; a join does not spill. The pool
does not count single values that an expression makes, nor rows on their way: for those there is the limit of the whole
process (`udtf.workers.pool`).
"""

import re
import weakref
from collections.abc import Callable, Iterator, Sequence

import datafusion
import pyarrow as pa

from udtf.arrow.plain_arrays import converted
from udtf.arrow.plain_types import check_readable, plain_schema
from udtf.errors import InvalidArgument
from udtf.functions.namespace import DEFAULT_SCHEMA
from udtf.functions.parameter import Parameter
from udtf.sql.messages import Plan, Planned
from udtf.sql.panics import EnginePanic, panics_as_errors
from udtf.sql.tables import Catalog, SessionLimits, Tables, TableScan, with_table_of_columns
from udtf.sql.worker import placeholders, substrait
from udtf.sql.worker.arguments import bind_arguments
from udtf.sql.worker.dialect import (
    ENGINE_FUNCTIONS,
    check_distinct_from,
    check_ordered_aggregates,
    with_known_names,
)
from udtf.sql.worker.scalar_functions import NO_OCTET_LENGTH_OF_BYTES, OCTET_LENGTH_OF_BYTES, SCALAR_FUNCTIONS
from udtf.sql.worker.server_table import ServerTable

_NO_PARAMETERS = pa.schema([])

_READ_ONLY = datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


class SystemRefused(Exception):
    """The system let no temporary file be written, for want of room mostly."""


class Session:
    """For one statement at a time, and any number of them one after the other.

    Tables and functions know their session by weak references: no garbage collector sees through DataFusion, where both
    would hold each other for ever.
    """

    def __init__(self, catalog: Catalog, limits: SessionLimits, tables: Tables, db_schema: str) -> None:
        self._tables = tables
        self._argument_types: dict[str, pa.DataType] = {}
        self._scans: list[TableScan] = []
        self._error: Exception | None = None
        self._frame: datafusion.DataFrame | None = None
        self._schema = _NO_PARAMETERS
        config = datafusion.SessionConfig().with_information_schema(True)
        # In other dialects `SELECT begin, end` does not parse.
        config = config.set("datafusion.sql_parser.dialect", "postgresql")
        # That of all columns; without it, times that a statement makes have no zone.
        config = config.set("datafusion.execution.time_zone", "UTC")
        runtime = datafusion.RuntimeEnvBuilder().with_fair_spill_pool(limits.memory_bytes)
        self._context = datafusion.SessionContext(config, runtime)
        # There is no other way to say so, and to name a folder would undo it.
        self._context.sql(f"SET datafusion.runtime.max_temp_directory_size = '{limits.spill_bytes >> 20}M'")
        for name, schema in catalog.tables.items():
            table = ServerTable(name, with_table_of_columns(schema, name), tables, self._scans)
            self._context.register_table(name, datafusion.Table(table))
        for function in SCALAR_FUNCTIONS:
            self._context.register_udf(function)
        self._functions = (*ENGINE_FUNCTIONS, *catalog.functions)
        for name, forms in catalog.functions.items():
            self._context.register_udtf(datafusion.udtf(self._callable(name, forms), name))
        if db_schema != DEFAULT_SCHEMA:
            self._context.sql(f"SET datafusion.catalog.default_schema = '{db_schema}'")

    def plan(self, wanted: Plan) -> Planned:
        """Plan a statement, to be run next or not at all.

        Raises:
            InvalidArgument: the statement is not one, does not fit the tables, or would change something.
            EnginePanic: DataFusion broke off.
            Exception: what `tables` raised.
        """
        self._argument_types.clear()
        self._error = None
        self._frame = None
        try:
            with panics_as_errors():
                # Only optimization settles some types, such as that of NULL beside text.
                logical = self._read(wanted.statement).optimized_logical_plan()
                self._frame = self._context.create_dataframe_from_logical_plan(logical)
                schema = self._frame.schema()
                check_readable(schema)
                self._schema = plain_schema(schema)
                if wanted.is_open:
                    return Planned(self._schema, self._parameters(self._frame), None)
                return Planned(self._schema, _NO_PARAMETERS, self._bare_scan(self._frame))
        except EnginePanic as error:
            if isinstance(wanted.statement, bytes):
                raise InvalidArgument("the plan refers to what is not in it") from error
            raise
        except Exception as error:
            raise self._explained(error) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the statement that was planned last, once, in the columns that were told.

        Raises:
            MemoryError: it needs more memory or disk than it may have.
            SystemRefused: its temporary files cannot be written.
            InvalidArgument: it failed on the rows that there are.
            EnginePanic: DataFusion broke off.
        """
        frame, self._frame = self._frame, None
        if frame is None:
            raise ValueError("there is no statement to run")
        try:
            with panics_as_errors():
                yield from (self._plain(batch.to_pyarrow()) for batch in frame.execute_stream())
        except EnginePanic as error:
            if _SIGN_OF_A_LIMIT_IN_A_JOIN in str(error):
                raise MemoryError(str(error)) from error
            raise
        except Exception as error:
            raise self._explained(error) from error

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [converted(column, kind) for column, kind in zip(batch.columns, self._schema.types, strict=True)]
        return pa.RecordBatch.from_arrays(columns, self._schema.names)

    def _read(self, statement: str | bytes) -> datafusion.DataFrame:
        if isinstance(statement, str):
            check_distinct_from(statement)
            check_ordered_aggregates(statement)
            return self._read_sql(with_known_names(statement, self._functions))
        return self._context.create_dataframe_from_logical_plan(substrait.read_plan(statement, self._context))

    def _read_sql(self, sql: str) -> datafusion.DataFrame:
        try:
            return self._context.sql_with_options(sql, _READ_ONLY)
        except ValueError as error:
            if NO_OCTET_LENGTH_OF_BYTES not in str(error):
                raise
        of_text = self._context.udf(OCTET_LENGTH_OF_BYTES.name)
        self._context.register_udf(OCTET_LENGTH_OF_BYTES)
        try:
            return self._context.sql_with_options(sql, _READ_ONLY)
        finally:
            self._context.register_udf(of_text)

    def _parameters(self, frame: datafusion.DataFrame) -> pa.Schema:
        types = placeholders.placeholder_types(frame, self._context.sql("SELECT 1"))
        return plain_schema(pa.schema({**types, **self._argument_types}))

    def _bare_scan(self, frame: datafusion.DataFrame) -> TableScan | None:
        """The scan that the statement comes down to, if it is nothing else."""
        self._scans.clear()
        plan = frame.execution_plan()
        if _operator(plan) == "CooperativeExec":
            (plan,) = plan.children()
        if _operator(plan) != "DatasetExec" or list(self._scans[-1].columns) != frame.schema().names:
            return None
        return self._scans[-1]

    def _explained(self, error: Exception) -> Exception:
        """What caused an error that came out of DataFusion: ours, or the statement."""
        if self._error is not None:
            return self._error
        message = readable(str(error))
        if isinstance(error, InvalidArgument):
            return error
        if _SIGN_OF_A_LIMIT.search(message):
            return MemoryError(message)
        if _SIGN_OF_THE_SYSTEM.search(message):
            return SystemRefused(message)
        is_of_statement = type(error) in _ERRORS_OF_STATEMENTS or isinstance(error, pa.ArrowException)
        if is_of_statement and not _SIGN_OF_A_MISTAKE.search(message):
            return InvalidArgument(message)
        return EnginePanic(message)

    def _callable(self, name: str, forms: Sequence[Sequence[Parameter]]) -> Callable[..., ServerTable]:
        session = weakref.proxy(self)

        def plan(*expressions: datafusion.Expr) -> ServerTable:
            try:
                arguments = bind_arguments(name, forms, expressions)
                session._argument_types.update(arguments.placeholders)
                planned = session._tables.plan(name, arguments.values)
            except Exception as error:
                # On its way through DataFusion it becomes text.
                session._error = error
                raise
            return ServerTable(planned.key, planned.schema, session._tables, session._scans)

        return plan


_SIGN_OF_A_LIMIT = re.compile(r"(^|\ncaused by\n)(\w[\w ]*: )?(Resources exhausted|Not enough memory)")
_SIGN_OF_A_MISTAKE = re.compile(r"(^|\ncaused by\n)(External error: task \d+ panicked|Internal error: )")
"""A panic on another thread, or a check of DataFusion's that failed."""

_ERRORS_OF_STATEMENTS = (Exception, ValueError, NotImplementedError)
"""What DataFusion raises for a statement, these and no more special ones; for a type in it pyarrow raises its own.
Other errors are mistakes of ours."""

_SIGN_OF_THE_SYSTEM = re.compile(r"\(os error \d+\)\s*$")
"""A statement opens no files but temporary ones."""
_SIGN_OF_A_LIMIT_IN_A_JOIN = "partition not used yet"
"""A join without memory for one of its inputs has it made once more, which panics."""

_PYTHON_ERROR = re.compile(r"(?:Python error )?PyErr \{.*?, value: \w+\((.*?)\), traceback: .*\}", re.DOTALL)


def _operator(plan: datafusion.ExecutionPlan) -> str:
    return plan.display().partition(":")[0].strip()


def readable(message: str) -> str:
    """DataFusion's message without what says where in DataFusion, or in Python, it arose."""
    for prefix in ("DataFusion error: ", "Error during planning: ", "External error: ", "Execution error: "):
        message = message.removeprefix(prefix)
    return _PYTHON_ERROR.sub(r"\1", message)
