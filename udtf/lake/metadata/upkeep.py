"""What changes telemetry that is stored: it is packed, it becomes too old, its objects are deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from udtf.lake.metadata.access import Access, locked_history
from udtf.lake.metadata.database import rows_of
from udtf.lake.metadata.rows import HistoryRow, SegmentRow
from udtf.lake.metadata.tables import garbage, histories, partitions, processes, rollups, segments, streams

_PLACE = ("object_key", "object_begin", "object_end", "row_hash")
"""What changes of a segment when it is moved."""

_MOVE = (
    sa.update(segments)
    .where(segments.c.process_id == sa.bindparam("of_process"), segments.c.first_segment == sa.bindparam("number"))
    .values({name: sa.bindparam(name) for name in _PLACE})
)


class Upkeep:
    """Safe to use from many threads."""

    def __init__(self, access: Access) -> None:
        self._access = access

    # Packing.

    def unpacked_stretches(self, process_id: str, nb_segments: int, max_bytes: int) -> list[int]:
        """The first segments of the stretches of so many segments, all there, that are in several objects and take so
        many bytes at most."""
        table = segments.c
        first = (table.first_segment // nb_segments * nb_segments).label("first")
        statement = (
            self._access.select(segments, first)
            .where(table.process_id == process_id)
            .group_by(first)
            .having(
                sa.func.count() == nb_segments,
                sa.func.count(table.object_key.distinct()) > 1,
                sa.func.sum(table.object_end - table.object_begin) <= max_bytes,
            )
            .order_by(first)
        )
        with self._access.database.read() as connection:
            return list(connection.scalars(statement))

    def move_segments(self, before: Sequence[SegmentRow], after: Sequence[SegmentRow], kept_until: int) -> bool:
        """Segments of one process that follow one another are in other objects now; those where nothing is left are
        garbage after a time.

        Returns:
            False if the rows are no longer what they were, and nothing was done.
        """
        process_id, first, last = before[0].process_id, before[0].first_segment, before[-1].first_segment
        here = sa.and_(segments.c.process_id == process_id, segments.c.first_segment.between(first, last))
        keys = {row.object_key for row in before}
        with self._access.database.write() as connection:
            connection.execute(locked_history(process_id))
            now = (
                sa.select(segments.c.object_key, segments.c.content_hash).where(here).order_by(segments.c.first_segment)
            )
            if connection.execute(now).all() != [(row.object_key, row.content_hash) for row in before]:
                return False
            connection.execute(_MOVE, [_moved(row) for row in after])
            named = sa.select(segments.c.object_key).where(segments.c.object_key.in_(keys)).distinct()
            self._access.throw_away(connection, sorted(keys.difference(connection.scalars(named))), kept_until)
        return True

    # Removal.

    def histories_ending_before(self, time_ns: int) -> list[HistoryRow]:
        """Processes whose last event is older than a time; those without events count by when they were sent."""
        table = histories.c
        ended = sa.func.coalesce(table.last_end_time, table.update_time) < time_ns
        return self._access.rows(self._access.select(histories).where(ended).order_by(table.process_id), HistoryRow)

    def histories_beginning_before(self, time_ns: int) -> list[tuple[HistoryRow, int]]:
        """Processes whose first segment ends before a time, each with the number of the first segment that does not."""
        first = segments.alias("first").c
        other = segments.alias("other").c
        kept = (
            sa.select(sa.func.min(other.first_segment))
            .where(
                other.process_id == histories.c.process_id,
                other.first_segment >= histories.c.first_segment,
                other.end_time >= time_ns,
            )
            .scalar_subquery()
        )
        statement = self._access.select(histories, *histories.columns, kept).where(
            first.process_id == histories.c.process_id,
            first.first_segment == histories.c.first_segment,
            first.end_time < time_ns,
        )
        width = len(histories.columns)
        with self._access.database.read() as connection:
            found = connection.execute(statement.order_by(histories.c.process_id)).all()
        return [(HistoryRow.from_database(row[:width]), row[width]) for row in found if row[width] is not None]

    def oldest_history(self) -> HistoryRow | None:
        """The process whose first segment, or which itself if it has none, is the oldest of all."""
        first = segments.alias("first").c
        begin = sa.func.coalesce(first.begin_time, histories.c.update_time)
        statement = (
            self._access.select(histories)
            .outerjoin(
                segments.alias("first"),
                sa.and_(first.process_id == histories.c.process_id, first.first_segment == histories.c.first_segment),
            )
            .order_by(begin, histories.c.process_id)
            .limit(1)
        )
        rows = self._access.rows(statement, HistoryRow)
        return rows[0] if rows else None

    def lake_bytes(self) -> int:
        """What all segments and partitions take in the object store."""
        of_segments = sa.select(sa.func.coalesce(sa.func.sum(histories.c.size_bytes), 0)).scalar_subquery()
        of_partitions = sa.select(sa.func.coalesce(sa.func.sum(partitions.c.size_bytes), 0)).scalar_subquery()
        with self._access.database.read() as connection:
            return int(connection.scalar(sa.select(of_segments + of_partitions)) or 0)

    def remove_process(self, process_id: str, now: int) -> int:
        """Remove all rows of a process; its objects are garbage.

        Returns:
            what the objects take, in bytes; 0 if there is no such process.
        """
        with self._access.database.write() as connection:
            rows = rows_of(connection, locked_history(process_id), HistoryRow)
            of_partitions = _size_of_partitions(connection, partitions.c.process_id == process_id)
            for table, key in ((segments, segments.c.object_key), (partitions, partitions.c.path)):
                of_process = sa.select(key, sa.literal(now)).where(table.c.process_id == process_id).distinct()
                self._access.throw_away_selected(connection, of_process)
            for table in (partitions, segments, rollups, streams, histories, processes):
                connection.execute(sa.delete(table).where(table.c.process_id == process_id))
        return of_partitions + int(sum(row.size_bytes for row in rows))

    def remove_segments(
        self, history: HistoryRow, end_segment: int, kept: Collection[tuple[int, int]], now: int
    ) -> int:
        """Remove the segments of a history before a number, and what is made from them; their objects are garbage.

        Args:
            kept: the stretches of removed segments whose indexes stay, by number of segments and first one.

        Returns:
            what the objects take, in bytes; 0 if the history has changed meanwhile, and nothing was done.
        """
        process_id = history.process_id
        with self._access.database.write() as connection:
            rows = rows_of(connection, locked_history(process_id), HistoryRow)
            if not rows or (rows[0].insert_time, rows[0].first_segment) != (history.insert_time, history.first_segment):
                return 0
            removed = sa.and_(segments.c.process_id == process_id, segments.c.first_segment < end_segment)
            # An object may have segments on both sides; it goes with the last of them.
            shared = sa.select(segments.c.object_key).where(
                segments.c.process_id == process_id, segments.c.first_segment == end_segment
            )
            of_removed = sa.select(segments.c.object_key, sa.literal(now))
            keys = of_removed.where(removed, segments.c.object_key.not_in(shared)).distinct()
            self._access.throw_away_selected(connection, keys)
            table = partitions.c
            outdated = sa.and_(table.process_id == process_id, table.first_segment < end_segment)
            self._access.throw_away_selected(connection, sa.select(table.path, sa.literal(now)).where(outdated))
            size = sa.select(sa.func.coalesce(sa.func.sum(segments.c.object_end - segments.c.object_begin), 0))
            removed_bytes = int(connection.scalar(size.where(removed)) or 0)
            of_partitions = _size_of_partitions(connection, outdated)
            connection.execute(sa.delete(partitions).where(outdated))
            connection.execute(sa.delete(segments).where(removed))
            within = sa.and_(
                rollups.c.process_id == process_id,
                rollups.c.first_segment + rollups.c.nb_segments <= end_segment,
                sa.tuple_(rollups.c.nb_segments, rollups.c.first_segment).not_in(list(kept)),
            )
            connection.execute(sa.delete(rollups).where(within))
            changed = replace(
                rows[0], first_segment=end_segment, size_bytes=rows[0].size_bytes - removed_bytes, update_time=now
            )
            update = sa.update(histories).where(histories.c.process_id == process_id)
            connection.execute(update, changed.to_database())
        return removed_bytes + of_partitions

    def known_keys(self, keys: Sequence[str]) -> set[str]:
        """Which of these objects rows name, garbage included."""
        known: set[str] = set()
        with self._access.database.read() as connection:
            for column in (segments.c.object_key, partitions.c.path, garbage.c.object_key):
                known.update(connection.scalars(sa.select(column).where(column.in_(list(keys)))))
        return known

    def garbage(self, limit: int, now: int) -> list[str]:
        """Keys of objects that may be deleted by now."""
        may_go = sa.select(garbage.c.object_key).where(garbage.c.removed_time <= now)
        statement = may_go.order_by(garbage.c.object_key).limit(limit)
        with self._access.database.read() as connection:
            return list(connection.scalars(statement))

    def deleted(self, keys: Sequence[str]) -> None:
        """Objects have been deleted, and are no garbage any more."""
        if keys:
            with self._access.database.write(durable=False) as connection:
                connection.execute(sa.delete(garbage).where(garbage.c.object_key.in_(list(keys))))


def _moved(row: SegmentRow) -> Mapping[str, Any]:
    values = row.to_database()
    return {name: values[name] for name in _PLACE} | {"of_process": row.process_id, "number": row.first_segment}


def _size_of_partitions(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    total = sa.select(sa.func.coalesce(sa.func.sum(partitions.c.size_bytes), 0)).where(condition)
    return int(connection.scalar(total) or 0)
