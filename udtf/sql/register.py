"""The tables and functions of a lake in any DataFusion session of this process.

Without a server there is no worker, no limit of memory and no cancellation: the session computes here, as it would over
any table.
"""

from collections import deque
from collections.abc import Callable, Sequence

import datafusion

from udtf.functions.parameter import Parameter
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.lake.time_range import TimeRange
from udtf.sql.lake_tables import LakeTables, catalog_of
from udtf.sql.tables import PlannedTable
from udtf.sql.worker.arguments import bind_arguments
from udtf.sql.worker.conditions import write_filters
from udtf.sql.worker.scalar_functions import SCALAR_FUNCTIONS
from udtf.sql.worker.server_table import ServerTable


def register(context: datafusion.SessionContext, lake: Lake, time_range: TimeRange | None = None) -> None:
    """Register all tables and functions of a lake, `perfetto_trace_chunks` among them, in a session.

    What is wrong with an argument is raised by the session, as an exception of its own with the message.

    Args:
        time_range: what views and `process_spans` show; by default, all time. Register again for another one.
    """
    write_filters()
    query_context = QueryContext(time_range=time_range)

    def tables() -> LakeTables:
        return LakeTables(lake, query_context, QuerySettings())

    catalog = catalog_of(lake)
    for name, schema in catalog.tables.items():
        if context.table_exist(name):
            context.deregister_table(name)
        context.register_table(name, _table(PlannedTable(name, schema), tables()))
    for function in SCALAR_FUNCTIONS:
        context.register_udf(function)
    for name, forms in catalog.functions.items():
        context.register_udtf(datafusion.udtf(_callable(name, forms, tables), name))


def _callable(
    name: str, forms: Sequence[Sequence[Parameter]], tables: Callable[[], LakeTables]
) -> Callable[..., datafusion.Table]:
    def plan(*expressions: datafusion.Expr) -> datafusion.Table:
        # Tables of their own: what is planned here is forgotten with the statement.
        own = tables()
        return _table(own.plan(name, bind_arguments(name, forms, expressions).values), own)

    return plan


def _table(planned: PlannedTable, tables: LakeTables) -> datafusion.Table:
    return datafusion.Table(ServerTable(planned.key, planned.schema, tables, deque(maxlen=1)))
