"""The rows of partitions: which there are, and what takes the place of what."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from udtf.lake.metadata.access import Access
from udtf.lake.metadata.database import rows_of
from udtf.lake.metadata.rows import PartitionRow
from udtf.lake.metadata.tables import histories, partitions
from udtf.lake.time_range import TimeRange


class PartitionRows:
    """Safe to use from many threads."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def of(self, process_id: str, view_set: str, first_segments: Collection[int]) -> list[PartitionRow]:
        """Partitions of a process whose stretch begins with one of these segments."""
        if not first_segments:
            return []
        table = partitions.c
        statement = self._access.select(partitions).where(
            table.process_id == process_id,
            table.view_set == view_set,
            table.first_segment.between(min(first_segments), max(first_segments)),
        )
        return self._access.rows(statement, PartitionRow)

    def scan(self) -> Iterator[list[PartitionRow]]:
        """All partitions, in pieces."""
        table = partitions.c
        ordered = self._access.select(partitions).order_by(
            table.process_id, table.view_set, table.first_segment, table.nb_segments
        )
        return self._access.database.scan(ordered, PartitionRow.from_database)

    def commit(self, rows: Sequence[PartitionRow], now: int) -> list[PartitionRow]:
        """Make finished files visible, each in place of those of the same stretch and of smaller ones within it.

        Files that are not needed then are garbage: those replaced, and those of rows that another server has committed.

        Returns:
            for each row the one that is visible now, which is another one of the same source if that was there first.
        """
        with self._access.database.write(durable=False) as connection:
            visible = []
            # A process that has been removed meanwhile gets no partition any more.
            known = set(
                connection.scalars(
                    sa.select(histories.c.process_id)
                    .where(histories.c.process_id.in_({row.process_id for row in rows}))
                    .order_by(histories.c.process_id)
                    .with_for_update()
                )
            )
            for row in rows:
                within = [
                    other
                    for other in rows_of(connection, _partitions_within(row), PartitionRow)
                    if other.first_segment + other.nb_segments <= row.end_segment
                ]
                same = [
                    other
                    for other in within
                    if (other.nb_segments, other.source_hash) == (row.nb_segments, row.source_hash)
                ]
                if same or row.process_id not in known:
                    visible.append(same[0] if same else row)
                    self._access.throw_away(connection, [row.path], now)
                    continue
                _delete_partitions(connection, within)
                self._access.throw_away(connection, [other.path for other in within], now)
                connection.execute(sa.insert(partitions), row.to_database())
                visible.append(row)
        return visible

    def retire(self, view_set: str, process_id: str, time_range: TimeRange, now: int) -> list[PartitionRow]:
        """Drop the partitions of a process that overlap a time range; their files are garbage."""
        table = partitions.c
        statement = self._access.select(partitions).where(
            table.view_set == view_set,
            table.process_id == process_id,
            table.begin_time <= time_range.end_ns,
            table.end_time >= time_range.begin_ns,
        )
        with self._access.database.write() as connection:
            rows: list[PartitionRow] = rows_of(connection, statement, PartitionRow)
            _delete_partitions(connection, rows)
            self._access.throw_away(connection, [row.path for row in rows], now)
        return rows

    def forget(self, row: PartitionRow, now: int) -> None:
        """Drop a partition whose file is lost or damaged; the file is garbage."""
        with self._access.database.write() as connection:
            _delete_partitions(connection, [row])
            self._access.throw_away(connection, [row.path], now)


def _partitions_within(row: PartitionRow) -> sa.Select[Any]:
    table = partitions.c
    return sa.select(partitions).where(
        table.process_id == row.process_id,
        table.view_set == row.view_set,
        table.first_segment.between(row.first_segment, row.end_segment - 1),
    )


def _delete_partitions(connection: sa.Connection, rows: Sequence[PartitionRow]) -> None:
    identities = [row.partition_id for row in rows]
    if identities:
        connection.execute(sa.delete(partitions).where(partitions.c.partition_id.in_(identities)))
