"""What a table function is called with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Parameter:
    """One argument: text, or a time (as nanoseconds since the Unix epoch)."""

    name: str
    kind: Literal["text", "time"]
