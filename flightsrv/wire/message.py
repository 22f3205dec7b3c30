"""What all messages have in common."""

from dataclasses import dataclass
from typing import ClassVar

FLIGHT_SQL = "arrow.flight.protocol.sql"


@dataclass(frozen=True)
class Message:
    """A protobuf message; a subclass names its package, if it is not Flight SQL's.

    A subclass has the name and the field names of its protobuf message. An absent optional field is None, a repeated
    field a tuple, a map a dict, an enum an int.
    """

    package: ClassVar[str] = FLIGHT_SQL
