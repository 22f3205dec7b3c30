"""Conditions on the rows of a table: trees of a few operators, that a process can tell another one.

A tree is a tuple of an operator and its operands: `("eq", ("field", "process_id"), ("constant", scalar))`.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.compute import field, scalar  # under these names pyarrow's own, whatever DataFusion is given

from udtf.errors import InvalidArgument

Tree: TypeAlias = tuple[Any, ...]

MAX_DEPTH = 200
"""Deepest tree; pyarrow walks through expressions by recursion."""

_OPERATORS: Mapping[str, tuple[int, Callable[..., pc.Expression]]] = {
    **{name: (2, getattr(operator, name)) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{name: (2, getattr(operator, name)) for name in ("add", "sub", "mul", "truediv", "and_", "or_")},
    "invert": (1, operator.invert),
    "is_null": (1, lambda operand: operand.is_null()),
    "is_valid": (1, lambda operand: operand.is_valid()),
}
"""By name: the number of operands, and what makes an expression of them."""


@dataclass(frozen=True)
class Condition:
    """What a row must pass."""

    tree: Tree

    def __post_init__(self) -> None:
        """Raises InvalidArgument where the tree is none, or too deep."""
        _check(self.tree)

    def expression(self) -> pc.Expression:
        """The same as pyarrow evaluates it: what is not known of a row is null, as in SQL."""
        return _expression(self.tree)


def _check(tree: Tree) -> None:
    left: list[tuple[Any, int]] = [(tree, 1)]
    while left:
        node, depth = left.pop()
        if depth > MAX_DEPTH:
            raise InvalidArgument(f"a condition is nested more than {MAX_DEPTH} times")
        name, operands = _split(node)
        if name == "field":
            is_right = len(operands) == 1 and isinstance(operands[0], str)
        elif name == "constant":
            is_right = len(operands) == 1 and isinstance(operands[0], pa.Scalar)
        else:
            is_right = name in _OPERATORS and len(operands) == _OPERATORS[name][0]
            left += [(operand, depth + 1) for operand in operands]
        if not is_right:
            raise InvalidArgument(f"a condition has no operator {name!r} with {len(operands)} operands")


def _split(node: Any) -> tuple[str, Sequence[Any]]:
    if not isinstance(node, tuple) or not node or not isinstance(node[0], str):
        raise InvalidArgument("a condition is a tree of operators")
    return node[0], node[1:]


def _expression(tree: Tree) -> pc.Expression:
    name, *operands = tree
    if name == "field":
        return field(operands[0])
    if name == "constant":
        return scalar(operands[0])
    return _OPERATORS[name][1](*map(_expression, operands))
