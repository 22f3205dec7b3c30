"""What a table function is called with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = str | int | bool
Kind = Literal["text", "time", "integer", "boolean"]

PYTHON_TYPES: Mapping[Kind | None, type] = {"text": str, "time": int, "integer": int, "boolean": bool}
"""Types of values."""


@dataclass(frozen=True)
class Parameter:
    """One argument: text, a time (as nanoseconds since the Unix epoch), an integer of 64 bits, or a boolean.

    Attributes:
        default: its value where it is left out; None if it must be given. Those with a default are the last ones.
    """

    name: str
    kind: Kind
    default: Value | None = None
