"""Access to the tables: statements about the processes that a caller sees, their rows, and what is thrown away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from udtf.errors import NotFound, PermissionDenied
from udtf.lake.metadata.database import Database, rows_of
from udtf.lake.metadata.rows import HistoryRow, PartitionRow, ProcessRow, Row, SegmentRow, StreamRow, StretchRow
from udtf.lake.metadata.tables import garbage, histories

ROW_TYPES: Mapping[str, type[Row]] = {
    "processes": ProcessRow,
    "streams": StreamRow,
    "histories": HistoryRow,
    "segments": SegmentRow,
    "rollups": StretchRow,
    "partitions": PartitionRow,
}
"""By the names of the tables."""


@dataclass(frozen=True)
class Access:
    """The tables of a database, or their rows of some processes only."""

    database: Database
    visible: frozenset[str] | None = None

    def throw_away(self, connection: sa.Connection, keys: Sequence[str], now: int) -> None:
        """Objects are garbage from a time on."""
        if keys:
            values = [{"object_key": key, "removed_time": now} for key in keys]
            connection.execute(self.database.insert(garbage).on_conflict_do_nothing(), values)

    def throw_away_selected(self, connection: sa.Connection, keys: sa.Select[Any]) -> None:
        """As `throw_away`, for keys and times that a statement selects."""
        insert = self.database.insert(garbage).from_select(["object_key", "removed_time"], keys)
        connection.execute(insert.on_conflict_do_nothing())

    def select(self, table: sa.Table, *columns: Any) -> sa.Select[Any]:
        """Columns of a table, or all of them, of the processes that are visible."""
        statement: sa.Select[Any] = sa.select(*(columns or (table,)))
        return statement if self.visible is None else statement.where(table.c.process_id.in_(sorted(self.visible)))

    def rows(self, statement: sa.Select[Any], row_type: type[Row]) -> list[Any]:
        """The rows of a statement."""
        with self.database.read() as connection:
            return rows_of(connection, statement, row_type)

    def one(self, table: sa.Table, key: sa.Column[str], value: str, what: str) -> Any:
        """The row of a table with a key. Raises NotFound where there is none."""
        rows = self.rows(self.select(table).where(key == value), ROW_TYPES[table.name])
        if not rows:
            raise NotFound(f"{what} is unknown")
        return rows[0]

    def is_visible(self, process_id: str) -> bool:
        """Whether rows of a process are seen."""
        return self.visible is None or process_id in self.visible

    def check_visible(self, rows: Sequence[Any]) -> None:
        """Raise PermissionDenied unless all of these rows are of visible processes."""
        for row in rows:
            if not self.is_visible(row.process_id):
                raise PermissionDenied(f"process {row.process_id!r} is not among those that you may write to")


def locked_history(process_id: str) -> sa.Select[Any]:
    """The history of a process, which nothing else can change before the transaction ends."""
    return sa.select(histories).where(histories.c.process_id == process_id).with_for_update()
