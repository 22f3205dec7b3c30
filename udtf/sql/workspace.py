"""The memory and the disk that a query has which computes for itself: sorts, joins, aggregates.

Each such query has a pool of its own. What sorts and aggregates cannot hold in it they spill into files below the
system's folder for temporary files (`TMPDIR`), whose number of bytes is bounded as well and which go with the query; a
join does not spill. What only hands through our tables' rows, a trace for one, needs no pool: it holds the few batches
that wait in bounded queues. Not counted by any pool are single values that an expression makes, and what our tables
read ahead.
"""

import datafusion

from udtf.errors import LimitExceeded
from udtf.settings import MIB, QuerySettings

_SIGNS_OF_A_LIMIT = ("Resources exhausted", "Not enough memory", "used disk space during the spilling process")


def limited(frame: datafusion.DataFrame, settings: QuerySettings) -> datafusion.DataFrame:
    """The same plan, to be run within the limits of one query."""
    runtime = datafusion.RuntimeEnvBuilder().with_fair_spill_pool(settings.query_memory_bytes)
    context = datafusion.SessionContext(datafusion.SessionConfig(), runtime)
    # There is no other way to say so, and to name a folder would undo it.
    context.sql(f"SET datafusion.runtime.max_temp_directory_size = '{settings.query_spill_bytes // MIB}M'")
    return context.create_dataframe_from_logical_plan(frame.logical_plan())


def limit_exceeded(message: str, settings: QuerySettings) -> LimitExceeded | None:
    """What DataFusion's message says, if it says that a query hit a limit."""
    if not any(sign in message for sign in _SIGNS_OF_A_LIMIT):
        return None
    return LimitExceeded(
        f"the query needs more than the {settings.query_memory_bytes // MIB} MiB of memory and "
        f"{settings.query_spill_bytes // MIB} MiB of disk that it may use; look at less time, filter before joining "
        "or sorting, or select fewer columns"
    )
