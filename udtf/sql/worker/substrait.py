"""Plans in the Substrait format, read-only.

DataFusion's reader of such plans knows nothing that changes something, and takes a file that a plan names for the name
of a table; what comes out of it is let through only if it is made of nothing but reading.
"""

import datafusion
from datafusion import substrait
from datafusion.plan import LogicalPlan

from udtf.errors import InvalidArgument

_READING = frozenset(
    {
        *("Aggregate", "Distinct", "EmptyRelation", "Filter", "Join", "Limit", "Projection", "Repartition", "Sort"),
        *("SubqueryAlias", "TableScan", "Union", "Unnest", "Values", "WindowExpr"),
    }
)


def read_plan(plan: bytes, context: datafusion.SessionContext) -> LogicalPlan:
    """The logical plan in the bytes of a Substrait plan.

    Raises:
        InvalidArgument: it would do something else than read.
        Exception: whatever DataFusion makes of a plan that it cannot read.
    """
    logical = substrait.Consumer.from_substrait_plan(context, substrait.Serde.deserialize_bytes(plan))
    check_reads_only(logical)
    return logical


def check_reads_only(plan: LogicalPlan) -> None:
    """Raise InvalidArgument if a plan, or one below it, is of a kind that is not known to do nothing but read."""
    plans = [plan]
    while plans:
        node = plans.pop()
        kind = type(node.to_variant()).__name__
        if kind not in _READING:
            raise InvalidArgument(f"a plan may only read, given: {kind}")
        plans += node.inputs()
