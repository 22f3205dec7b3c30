"""Filters as DataFusion writes them for a dataset, with the meaning that SQL gives them.

DataFusion makes expressions of pyarrow from `pyarrow.compute.field` and Python's operators, takes them to be exact, and
keeps a filter to itself where making one fails. Two of them mean something else in pyarrow than in SQL, or nothing:

- whether null is in a list is false there, not unknown; so a list becomes comparisons, which know of the unknown;
- a constant by itself comes as a `pyarrow.Scalar`, and AND and OR of those are none of SQL's.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_or = operator.or_

MAX_COMPARISONS = 64
"""Longer lists stay with DataFusion, which looks values up."""


class Condition:
    """An expression of pyarrow, but for what is told above."""

    def __init__(self, expression: pc.Expression) -> None:
        self.expression = expression

    def isin(self, values: Sequence[Any]) -> "Condition":
        """Raises NotImplementedError where the list is too long."""
        if len(values) > MAX_COMPARISONS:
            raise NotImplementedError("the list is too long")
        comparisons = [self.expression == plain_expression(value) for value in values]
        return Condition(reduce(_or, comparisons, pc.scalar(False)))

    def is_null(self, *arguments: Any, **options: Any) -> "Condition":
        """As pyarrow's."""
        return Condition(self.expression.is_null(*arguments, **options))

    def is_valid(self) -> "Condition":
        """As pyarrow's."""
        return Condition(self.expression.is_valid())

    def __repr__(self) -> str:
        """EXPLAIN shows it."""
        return str(self.expression)

    def __invert__(self) -> "Condition":
        return Condition(~self.expression)

    __hash__ = None  # type: ignore[assignment]


def _operator(function: Callable[[Any, Any], Any], *, swapped: bool = False) -> Callable[[Any, Any], Condition]:
    def apply(this: Any, other: Any) -> Condition:
        left, right = plain_expression(this), plain_expression(other)
        return Condition(function(right, left) if swapped else function(left, right))

    return apply


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Condition, f"__{_name}__", _operator(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Condition, f"__{_name}__", _operator(getattr(operator, _name)))
    setattr(Condition, f"__r{_name}__", _operator(getattr(operator, _name), swapped=True))


def plain_expression(condition: Any) -> pc.Expression:
    """What pyarrow understands: of a condition, an expression or a constant. Raises NotImplementedError where that is
    nothing."""
    if isinstance(condition, Condition):
        return condition.expression
    if isinstance(condition, pa.Scalar) and pa.types.is_nested(condition.type):
        raise NotImplementedError("lists and structures are not compared here")
    return condition if isinstance(condition, pc.Expression) else pc.scalar(condition)


def write_conditions() -> None:
    """Let DataFusion, in this process, write conditions from now on."""
    field = pc.field

    def condition_of(*name: Any) -> Condition:
        return Condition(field(*name))

    pc.field = condition_of
    for name in ("and_", "or_"):
        setattr(operator, name, _logical(getattr(operator, name)))


def _logical(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    of_conditions = _operator(function)

    def apply(left: Any, right: Any) -> Any:
        is_ours = isinstance(left, Condition | pa.Scalar)
        return of_conditions(left, right) if is_ours else function(left, right)

    return apply
