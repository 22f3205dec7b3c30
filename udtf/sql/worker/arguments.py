"""The arguments of a table function, from what DataFusion's planner folds them to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from datafusion import Expr

from udtf.errors import InvalidArgument
from udtf.functions.parameter import Parameter, Value
from udtf.lake.schemas import TIMESTAMP

_TYPES = {"text": pa.utf8(), "time": TIMESTAMP, "integer": pa.int64(), "boolean": pa.bool_()}
"""Types by kind of parameter."""

_TEXTS = (pa.StringScalar, pa.StringViewScalar, pa.LargeStringScalar)


@dataclass(frozen=True)
class Arguments:
    """What a table function is called with.

    Attributes:
        values: by parameter name: times as nanoseconds since the Unix epoch, others as Python has them. A placeholder
            of a statement that is only being prepared is left out; what is not given has its default.
        placeholders: their types, by placeholder (`$1`).
    """

    values: dict[str, Value]
    placeholders: dict[str, pa.DataType]


def bind_arguments(function: str, forms: Sequence[Sequence[Parameter]], given: Sequence[Expr]) -> Arguments:
    """The arguments in the first form of the function that they fit.

    Raises:
        InvalidArgument: they fit none: too many or too few, not a constant, null, or of the wrong type. The message is
            about the first form.
    """
    reasons = []
    for parameters in forms:
        try:
            return _bound(function, parameters, given)
        except InvalidArgument as reason:
            reasons.append(reason)
    raise reasons[0]


def _bound(function: str, parameters: Sequence[Parameter], given: Sequence[Expr]) -> Arguments:
    nb_required = sum(parameter.default is None for parameter in parameters)
    if not nb_required <= len(given) <= len(parameters):
        names = ", ".join(parameter.name for parameter in parameters)
        accepted = f"{nb_required} to {len(parameters)}" if nb_required < len(parameters) else f"{nb_required}"
        raise InvalidArgument(f"{function} takes {accepted} arguments ({names}), given: {len(given)}")
    values: dict[str, Value] = {
        parameter.name: parameter.default for parameter in parameters[len(given) :] if parameter.default is not None
    }
    placeholders: dict[str, pa.DataType] = {}
    for parameter, expression in zip(parameters, given, strict=False):
        if expression.variant_name() == "Placeholder":
            placeholders[expression.to_variant().id()] = _TYPES[parameter.kind]
        else:
            values[parameter.name] = _value(function, parameter, expression)
    return Arguments(values, placeholders)


def _value(function: str, parameter: Parameter, expression: Expr) -> Value:
    where = f"{parameter.name} of {function}"
    if expression.variant_name() != "Literal":
        raise InvalidArgument(f"{where} must be a constant, given: {expression}")
    scalar = expression.python_value()
    if not scalar.is_valid:
        raise InvalidArgument(f"{where} must not be null")
    if parameter.kind == "text":
        if not isinstance(scalar, _TEXTS):
            raise InvalidArgument(f"{where} must be text, given: {_shown(scalar)}")
        text: str = scalar.as_py()
        return text
    if parameter.kind == "time":
        return _time_ns(where, scalar)
    accepts, what = (
        (pa.types.is_integer, "an integer of 64 bits")
        if parameter.kind == "integer"
        else (pa.types.is_boolean, "true or false")
    )
    value: int | bool | None = scalar.as_py() if accepts(scalar.type) else None
    if value is None or not -(2**63) <= value < 2**63:
        raise InvalidArgument(f"{where} must be {what}, given: {_shown(scalar)}")
    return value


def _time_ns(where: str, scalar: Any) -> int:
    if isinstance(scalar, (*_TEXTS, pa.TimestampScalar)):
        if isinstance(scalar, pa.TimestampScalar) and scalar.type.tz is None:
            # DataFusion gives a TIMESTAMP literal no zone once it has moved it to UTC.
            scalar = pa.scalar(scalar.value, pa.int64()).cast(pa.timestamp(scalar.type.unit, "UTC"))
        try:
            time_ns: int = scalar.cast(TIMESTAMP).value
        except pa.ArrowInvalid:
            pass
        else:
            return time_ns
    raise InvalidArgument(
        f"{where} must be a time such as TIMESTAMP '2026-01-01T10:00:00Z', given: {_shown(scalar)}"
        if not isinstance(scalar, pa.TimestampScalar)
        else f"{where} is a time that nanoseconds in 64 bits cannot hold: {scalar.value} {scalar.type.unit}"
    )


def _shown(scalar: Any) -> str:
    """A value as the caller may know it; Python's types cannot hold all that Arrow's can."""
    try:
        return repr(scalar.as_py())
    except (OverflowError, ValueError):
        return f"a value of type {scalar.type}"
