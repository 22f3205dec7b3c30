"""The tables of a statement, as planning and running it see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from udtf.functions.parameter import Parameter, Value
from udtf.sql.conditions import Condition

TableKey: TypeAlias = str | int
"""A table by its name, or the result of a table function by the number that it got when it was planned."""


TABLE_OF_COLUMN = b"udtf:table"
"""The key of metadata of a column that holds the name of the table that it comes from. DataFusion hands it on to what
is made of one column by a cast or a choice, and to nothing else that is computed."""


def with_table_of_columns(schema: pa.Schema, table: str) -> pa.Schema:
    """The columns of a table, each with its name."""
    return pa.schema([field.with_metadata({TABLE_OF_COLUMN: table.encode()}) for field in schema])


@dataclass(frozen=True)
class Catalog:
    """All tables that there are, with their columns, and all table functions, each with its forms: parameters in one
    order or another."""

    tables: Mapping[str, pa.Schema]
    functions: Mapping[str, Sequence[Sequence[Parameter]]]


@dataclass(frozen=True)
class SessionLimits:
    """What a statement may use: memory that DataFusion counts, and disk beyond that."""

    memory_bytes: int
    spill_bytes: int


@dataclass(frozen=True)
class PlannedTable:
    """A call of a table function that has been planned."""

    key: TableKey
    schema: pa.Schema


@dataclass(frozen=True)
class TableScan:
    """What is wanted of a table: some columns, in this order, of the rows that pass the filter."""

    key: TableKey
    columns: tuple[str, ...]
    filter: Condition | None = None


class Tables(Protocol):
    """The tables of one statement."""

    def plan(self, function: str, values: Mapping[str, Value]) -> PlannedTable:
        """Plan the call of a table function. In a statement that is only being prepared, values are missing.

        Raises:
            Exception: it cannot be planned.
        """

    def scan(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        """The rows that are wanted; closing the iterator ends the work."""
