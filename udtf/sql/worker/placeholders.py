"""Types of a statement's parameters, as far as its plan settles them.

DataFusion notes the type of a placeholder that stands beside something typed, and casts one that is an argument of a
function. What is looked at are the expressions of an optimized plan, as far as the Python interface shows them.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, Expr
from datafusion.plan import LogicalPlan

_EXPRESSIONS_OF_NODES = (
    *("projections", "predicate", "filters", "values", "fetch", "skip"),
    *("group_by_exprs", "aggregate_exprs", "sort_exprs", "on", "filter"),
)
"""Methods by which the nodes of a plan give their expressions. Other nodes give other things by the same names: `fetch`
of a limit is an expression, that of a scan a number."""

_LEAVES = ("Column", "Literal", "Placeholder", "ScalarVariable")


def placeholder_types(frame: DataFrame, anything: DataFrame) -> dict[str, pa.DataType]:
    """Types by placeholder (`$1`); one that could be anything, or stands where it cannot be seen, is left out.

    Args:
        anything: any frame, to ask for the types of constant expressions.
    """
    noted: dict[str, pa.DataType] = {}
    cast_to: dict[str, pa.DataType] = {}
    for expression in _expressions(frame.logical_plan()):
        kind = expression.variant_name()
        if kind == "Placeholder":
            placeholder = expression.to_variant()
            if placeholder.field() is not None and not pa.types.is_null(placeholder.field().type):
                noted[placeholder.id()] = placeholder.field().type
        elif kind in ("Cast", "TryCast"):
            (operand,) = _operands(expression)
            if operand.variant_name() == "Placeholder":
                cast_to[operand.to_variant().id()] = anything.select(expression).schema().field(0).type
    return {**cast_to, **noted}


def _expressions(plan: LogicalPlan) -> Iterator[Expr]:
    """All expressions in a plan, those within others and those of the plans below included."""
    plans = [plan]
    while plans:
        plan = plans.pop()
        expressions = list(_roots(plan))
        while expressions:
            expression = expressions.pop()
            yield expression
            expressions += _operands(expression)
        plans += plan.inputs()


def _roots(plan: LogicalPlan) -> Iterator[Expr]:
    try:
        node = plan.to_variant()
    except Exception:
        return  # a node that has no face in Python
    for name in _EXPRESSIONS_OF_NODES:
        if hasattr(node, name):
            yield from _flat(getattr(node, name)())


def _flat(found: Any) -> Iterator[Expr]:
    if isinstance(found, list | tuple):
        for item in found:
            yield from _flat(item)
    elif hasattr(found, "ascending"):  # a sort key
        yield Expr(found.expr())
    elif hasattr(found, "variant_name"):
        yield Expr(found)


def _operands(expression: Expr) -> list[Expr]:
    if expression.variant_name() in _LEAVES:
        return []
    try:
        return expression.rex_call_operands()
    except Exception:
        return []  # an expression that has no face in Python
