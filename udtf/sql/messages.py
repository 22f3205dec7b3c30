"""What the engine and a worker say to each other, over a channel (`channel`).

The engine sends a `Plan` and, if rows are wanted, a `Run`. While the worker plans, it asks for tables (`TableWanted`);
each is answered by a `PlannedTable`, or by None where there is a reason against it. Then it says `Planned` or `Failed`.
While it runs, it asks for rows (`ScanWanted`), and gets them over a channel of their own; its own rows are `Rows`, and
the last word is `Ended` or `Failed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from udtf.sql.tables import TableScan


@dataclass(frozen=True)
class Plan:
    """A statement to plan: its text, or a Substrait plan.

    One that is open has parameters without values: it is not run, and the types of its parameters are wanted.
    """

    statement: str | bytes
    db_schema: str
    is_open: bool = False


@dataclass(frozen=True)
class TableWanted:
    """A table function is called; a value that is still open is missing."""

    function: str
    values: Mapping[str, str | int]


@dataclass(frozen=True)
class Planned:
    """A statement has been planned.

    Attributes:
        parameters: by placeholder (`$1`), those whose type is settled.
        scan: what the statement comes down to, if that is the rows of one table and nothing else.
    """

    schema: pa.Schema
    parameters: pa.Schema
    scan: TableScan | None


@dataclass(frozen=True)
class Run:
    """The rows of the statement that was planned last are wanted."""


@dataclass(frozen=True)
class ScanWanted:
    """Rows of a table are wanted, over a channel on the socket that follows."""

    scan: TableScan


@dataclass(frozen=True)
class Rows:
    """Rows of the result follow."""


@dataclass(frozen=True)
class Ended:
    """All rows have been sent."""


@dataclass(frozen=True)
class Failed:
    """A statement failed: it was wrong, hit a limit, got no room from the system, or met a mistake of DataFusion's."""

    why: Literal["statement", "limit", "system", "panic"]
    message: str
