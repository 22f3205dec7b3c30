"""Parameters of prepared statements: finding `?` and `$1` in a statement, and writing values in their place.

A parameter may stand where a plan needs a constant, in the arguments of a table function, so values are written into
the statement as literals before it is planned. A placeholder is a token: what looks like one inside text, quoted names
or comments is none; and a value becomes exactly one literal.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from udtf.errors import InvalidArgument
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


def parse_statement(sql: str) -> Statement:
    """Find the placeholders of a statement.

    Raises:
        InvalidArgument: both styles in one statement, a placeholder that is neither, or a number left out.
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


def literal(value: pa.Scalar) -> str:
    """One SQL expression, constant, with the value of an Arrow scalar and its type (text and bytes in their plain
    types).

    Raises:
        InvalidArgument: SQL cannot write the type.
    """
    while isinstance(value, pa.UnionScalar | pa.ExtensionScalar | pa.DictionaryScalar):
        value = value.value if value.is_valid else pa.scalar(None)
    kind = value.type
    if pa.types.is_null(kind):
        return "NULL"
    if _is_text(kind):
        return _quoted(value.as_py()) if value.is_valid else _cast("NULL", "Utf8")
    if _is_bytes(kind):
        return f"X'{value.as_py().hex()}'" if value.is_valid else _cast("NULL", "Binary")
    type_name = _type_name(kind)
    if not value.is_valid:
        return _cast("NULL", type_name)
    if pa.types.is_boolean(kind):
        return str(value.as_py()).upper()
    if pa.types.is_int64(kind):
        return f"({value.as_py()})"
    if pa.types.is_integer(kind):
        return _cast(str(value.as_py()), type_name)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _cast(_quoted(str(value.as_py())), type_name)
    # What is left are times: written as their number of units, which is exact.
    return _cast(_cast(str(value.value), f"Int{kind.bit_width}"), type_name)


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
    "bool": "Boolean",
    "halffloat": "Float16",
    "float": "Float32",
    "double": "Float64",
    "date32[day]": "Date32",
    "date64[ms]": "Date64",
}


def _type_name(kind: pa.DataType) -> str:
    """The name of an Arrow type as `arrow_cast` takes it."""
    name = str(kind)
    if name in _TYPE_NAMES:
        return _TYPE_NAMES[name]
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
    raise InvalidArgument(f"a parameter cannot have type {kind}")
