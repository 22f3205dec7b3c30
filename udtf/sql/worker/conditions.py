"""Filters as DataFusion writes them for a dataset, noted as conditions (`udtf.sql.conditions`).

DataFusion writes expressions of pyarrow with `pyarrow.compute.field` and Python's operators, takes them to be exact,
and keeps a filter to itself where writing one fails. What it writes here is noted, not evaluated, with the meaning that
SQL gives it: a list becomes comparisons, since whether null is in a list is false for pyarrow, not unknown.
"""

import operator
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from udtf.sql.conditions import MAX_DEPTH, Condition, Tree

MAX_COMPARISONS = 64
"""Longer lists stay with DataFusion, which looks values up."""


class Filter:
    """Has the operators of an expression of pyarrow that DataFusion knows."""

    def __init__(self, tree: Tree, depth: int) -> None:
        """Raises NotImplementedError for a filter that is nested too deeply for a table."""
        if depth > MAX_DEPTH:
            raise NotImplementedError("the filter is nested too deeply")
        self._tree = tree
        self._depth = depth

    def isin(self, values: Sequence[Any]) -> "Filter":
        """Raises NotImplementedError where the list is too long."""
        if len(values) > MAX_COMPARISONS:
            raise NotImplementedError("the list is too long")
        comparisons = [_noted("eq", self, value) for value in values]
        return reduce(lambda left, right: _noted("or_", left, right), comparisons, _filter(False))

    def is_null(self, *_: Any) -> "Filter":
        """Whether there is no value. NaN is one, whatever DataFusion asks for besides."""
        return _noted("is_null", self)

    def is_valid(self) -> "Filter":
        """Whether there is a value."""
        return _noted("is_valid", self)

    def __repr__(self) -> str:
        """EXPLAIN shows it."""
        return str(Condition(self._tree).expression())

    def __invert__(self) -> "Filter":
        return _noted("invert", self)

    __hash__ = None  # type: ignore[assignment]


def _operator(name: str, *, swapped: bool = False) -> Callable[[Any, Any], Filter]:
    def apply(this: Any, other: Any) -> Filter:
        return _noted(name, other, this) if swapped else _noted(name, this, other)

    return apply


def _noted(name: str, *operands: Any) -> Filter:
    filters = [_filter(operand) for operand in operands]
    return Filter((name, *(each._tree for each in filters)), 1 + max(each._depth for each in filters))


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Filter, f"__{_name}__", _operator(_name))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Filter, f"__{_name}__", _operator(_name))
    setattr(Filter, f"__r{_name}__", _operator(_name, swapped=True))


def _filter(value: Any) -> Filter:
    """Raises NotImplementedError for a constant that is not compared here."""
    if isinstance(value, Filter):
        return value
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    if pa.types.is_nested(scalar.type):
        raise NotImplementedError("lists and structures are not compared here")
    return Filter(("constant", scalar), 1)


def condition_of(written: Filter | pa.Scalar) -> Condition:
    """The condition that a filter, or a constant in place of one, comes to."""
    return Condition(_filter(written)._tree)


_field = pc.field


def write_filters() -> None:
    """Let DataFusion, in this process, write filters from now on, not expressions of pyarrow.

    It looks for `pyarrow.compute.field` and Python's operators where these modules have them. For all others they stay
    what they are.
    """
    if pc.field is not _field:
        return

    def field_or_filter(*name: Any) -> Any:
        return Filter(("field", *name), 1) if _is_called_by_datafusion() else _field(*name)

    pc.field = field_or_filter
    for name in ("and_", "or_"):
        setattr(operator, name, _logical(name, getattr(operator, name)))


def _is_called_by_datafusion() -> bool:
    """Whether compiled code called the calling function, below DataFusion's own modules or on a thread of its own."""
    frame = sys._getframe(1).f_back
    return frame is None or str(frame.f_globals.get("__name__")).partition(".")[0] == "datafusion"


def _logical(name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    of_filters = _operator(name)

    def apply(left: Any, right: Any) -> Any:
        # A constant by itself comes as a scalar.
        return of_filters(left, right) if isinstance(left, Filter | pa.Scalar) else function(left, right)

    return apply
