"""Parameters of prepared statements: finding `?` and `$1` in a statement, and writing values in their place.

A parameter may stand where a plan needs a constant, in the arguments of a table function, so values are written into
the statement as literals before it is planned. A placeholder is a token: what looks like one inside text, quoted names
or comments is none; and a value becomes exactly one literal.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from flightsrv.policy.limits import MAX_PARAMETERS
from udtf.arrow.plain_arrays import value_in_union
from udtf.arrow.plain_types import value_type
from udtf.errors import InvalidArgument, LimitExceeded
from udtf.sql.tokens import placeholders

_GLUE = dict.fromkeys(["", *" \t\r\n()[],;:=<>+-*/%|"], "")
"""Next to all but these, what is put in place of a placeholder could become one token with it: `LIMIT?`, `E?`."""

_NUMBERED = re.compile(r"\$[1-9][0-9]{0,4}")


@dataclass(frozen=True)
class Statement:
    """A statement cut at its placeholders: `pieces[i]`, then parameter `parameters[i]` (from 0), and so on."""

    pieces: tuple[str, ...]
    parameters: tuple[int, ...]

    @property
    def parameter_count(self) -> int:
        """How many values the statement takes."""
        return max(self.parameters, default=-1) + 1

    def parameter_names(self) -> list[str]:
        """`$1`, `$2`, ..."""
        return [f"${number + 1}" for number in range(self.parameter_count)]

    def numbered(self, *, as_text: Collection[str] = ()) -> str:
        """The statement with the names of its parameters for placeholders, the form that plans without values; those in
        `as_text` are made text.
        """
        names = self.parameter_names()
        return self._join([f"arrow_cast({name}, 'Utf8')" if name in as_text else name for name in names])

    def bound(self, values: Sequence[pa.Scalar]) -> str:
        """The statement with values in place of placeholders.

        Raises:
            InvalidArgument: the number of values is wrong, or a value has a type that SQL cannot write.
        """
        if len(values) != self.parameter_count:
            raise InvalidArgument(f"the statement takes {self.parameter_count} parameters, given: {len(values)}")
        return self._join([literal(value) for value in values])

    def _join(self, texts: Sequence[str]) -> str:
        joined = self.pieces[0]
        for number, piece in zip(self.parameters, self.pieces[1:], strict=True):
            joined += _GLUE.get(joined[-1:], " ") + texts[number] + _GLUE.get(piece[:1], " ") + piece
        return joined


def parse_statement(sql: str, max_parameters: int = MAX_PARAMETERS) -> Statement:
    """Find the placeholders of a statement.

    Raises:
        InvalidArgument: both styles in one statement, a placeholder that is neither, or a number left out.
        LimitExceeded: too many placeholders, or too large a number.
    """
    pieces: list[str] = []
    numbers: list[int] = []
    styles: set[str] = set()
    begin = 0
    for token in placeholders(sql):
        position, text = token.position, token.text
        if text == "?":
            number = len(numbers)
        elif _NUMBERED.fullmatch(text):
            number = int(text[1:]) - 1
        else:
            raise InvalidArgument(f"a parameter is written ? or $1, $2, ..., given: {text[:20]}")
        if max(number, len(numbers)) >= max_parameters:
            raise LimitExceeded(f"a statement has at most {max_parameters} placeholders, and numbers up to that")
        styles.add(text[0])
        pieces.append(sql[begin:position])
        numbers.append(number)
        begin = position + len(text)
    if len(styles) > 1:
        raise InvalidArgument("a statement takes parameters written ? or $1, not both")
    missing = set(range(max(numbers, default=-1) + 1)) - set(numbers)
    if missing:
        raise InvalidArgument(f"the statement has ${max(numbers) + 1} but no ${min(missing) + 1}")
    return Statement((*pieces, sql[begin:]), tuple(numbers))


def value_at(column: pa.ChunkedArray, row: int) -> pa.Scalar:
    """A value of a column; one in a union is that of the member that it belongs to, which a null does not know."""
    if not pa.types.is_union(column.type):
        return column[row]
    (union,) = column.slice(row, 1).chunks
    return value_in_union(union, 0)


def literal(value: pa.Scalar) -> str:
    """One SQL expression, constant, with the value of an Arrow scalar and its type: that of the value alone, whatever
    it is encoded or wrapped in, with text and bytes in their plain types.

    Raises:
        InvalidArgument: SQL cannot write the type.
    """
    if isinstance(value, pa.UnionScalar) and value.is_valid:
        return literal(value.value)
    kind = value_type(value.type)
    if pa.types.is_null(kind):
        return "NULL"
    if not value.is_valid:
        return _cast("NULL", _type_name(kind))
    while isinstance(value, pa.ExtensionScalar | pa.DictionaryScalar | pa.RunEndEncodedScalar):
        value = value.value
    if pa.types.is_nested(kind):
        return _nested_literal(value, kind)
    if _is_text(kind):
        return _quoted(value.as_py())
    if _is_bytes(kind):
        return f"X'{value.as_py().hex()}'"
    if pa.types.is_boolean(kind):
        return str(bool(value.as_py())).upper()
    if pa.types.is_int64(kind):
        return f"({value.as_py()})"
    if pa.types.is_integer(kind):
        return _cast(str(value.as_py()), _type_name(kind))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _cast(_quoted(str(value.as_py())), _type_name(kind))
    if pa.types.is_interval(kind):
        months, days, nanoseconds = value.as_py()
        return f"INTERVAL '{months} months {days} days {nanoseconds} nanoseconds'"
    # What is left are times: written as their number of units, which is exact.
    return _cast(_cast(str(value.value), f"Int{kind.bit_width}"), _type_name(kind))


def _nested_literal(value: pa.Scalar, kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        if not kind.num_fields:
            raise InvalidArgument(f"a parameter cannot have type {kind}")
        parts = (f"{_quoted(field.name)}, {literal(value[i])}" for i, field in enumerate(kind))
        return f"named_struct({', '.join(parts)})"
    if pa.types.is_map(kind):
        keys, values = (_array_literal(value.values.field(i)) for i in range(2))
        return _cast(f"map({keys}, {values})", _type_name(kind))
    return _cast(_array_literal(value.values), _type_name(kind))


def _array_literal(values: pa.Array) -> str:
    return f"make_array({', '.join(map(literal, values))})"


def cast_parameters(parameters: pa.Table, types: pa.Schema) -> pa.Table:
    """The parameters with other types, by position.

    Raises:
        InvalidArgument: a value cannot be cast; the message names the parameter.
    """
    columns = []
    for column, field in zip(parameters.columns, types, strict=False):
        try:
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            raise InvalidArgument(f"parameter {field.name} must be {field.type}, given: {column.type}") from e
    return pa.table([*columns, *parameters.columns[len(columns) :]], parameters.column_names)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _cast(expression: str, type_name: str) -> str:
    return f"arrow_cast({expression}, {_quoted(type_name)})"


_TYPE_NAMES = {
    "null": "Null",
    "bool": "Boolean",
    "halffloat": "Float16",
    "float": "Float32",
    "double": "Float64",
    "date32[day]": "Date32",
    "date64[ms]": "Date64",
    "month_day_nano_interval": "Interval(MonthDayNano)",
}


def _type_name(kind: pa.DataType) -> str:
    """The name of an Arrow type as `arrow_cast` takes it. What is in a nested type may be null."""
    name = str(kind)
    if name in _TYPE_NAMES:
        return _TYPE_NAMES[name]
    if _is_text(kind):
        return "Utf8"
    if _is_bytes(kind):
        return "Binary"
    if pa.types.is_integer(kind):
        return name.replace("uint", "UInt").replace("int", "Int")
    if pa.types.is_decimal(kind):
        return f"Decimal{kind.bit_width}({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return f"Timestamp({kind.unit})" if kind.tz is None else f'Timestamp({kind.unit}, "{kind.tz}")'
    if pa.types.is_time(kind):
        return f"Time{kind.bit_width}({kind.unit})"
    if pa.types.is_duration(kind):
        return f"Duration({kind.unit})"
    if pa.types.is_list(kind):
        return f"List({_type_name(kind.value_type)})"
    if pa.types.is_large_list(kind):
        return f"LargeList({_type_name(kind.value_type)})"
    if pa.types.is_fixed_size_list(kind):
        return f"FixedSizeList({kind.list_size} x {_type_name(kind.value_type)})"
    if pa.types.is_struct(kind):
        return f"Struct({', '.join(_field(field) for field in kind)})"
    if pa.types.is_map(kind):
        entries = f'"key": non-null {_type_name(kind.key_type)}, "value": {_type_name(kind.item_type)}'
        return f'Map("entries": non-null Struct({entries}), {"sorted" if kind.keys_sorted else "unsorted"})'
    raise InvalidArgument(f"a parameter cannot have type {kind}")


def _field(field: pa.Field) -> str:
    if re.search(r'["\\]', field.name):
        raise InvalidArgument(f"a field of a parameter cannot have a quote or a backslash in its name: {field.name!r}")
    return f'"{field.name}": {_type_name(field.type)}'
