"""The metadata store: what is asked of the tables, and what changes them.

A read is one statement, whatever the number of threads; a write is one short transaction.
Times are integers here, nanoseconds since the Unix epoch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from udtf.errors import InvalidTelemetry, NotFound, PermissionDenied, Removed
from udtf.lake.metadata.database import Database, rows_of
from udtf.lake.metadata.rows import (
    HistoryRow,
    PartitionRow,
    ProcessRow,
    Row,
    SegmentRow,
    StreamRow,
    StretchRow,
    values_of,
)
from udtf.lake.metadata.tables import garbage, histories, partitions, processes, rollups, segments, streams
from udtf.lake.settings import DatabaseSettings
from udtf.lake.time_range import TimeRange

_TYPES: Mapping[str, type[Row]] = {
    "processes": ProcessRow,
    "streams": StreamRow,
    "histories": HistoryRow,
    "segments": SegmentRow,
    "rollups": StretchRow,
    "partitions": PartitionRow,
}

# What a segment has in common with larger stretches, in the order of their columns.
_SEGMENT_AS_STRETCH = [column for column in segments.columns if column.name != "blocks"]


@dataclass(frozen=True)
class Growth:
    """What is added to the history of a process: its segments, the stretches that are complete with them, and the
    history as it is then."""

    history: HistoryRow
    segments: Sequence[SegmentRow]
    stretches: Sequence[StretchRow]

    @property
    def nb_segments_before(self) -> int:
        return self.history.nb_segments - len(self.segments)


class HistoryMoved(Exception):
    """Histories are no longer what growths were made for; nothing was stored."""

    def __init__(self, process_ids: Sequence[str]) -> None:
        super().__init__(f"histories of {', '.join(process_ids)} have changed")
        self.process_ids = process_ids


_GROW = (
    sa.update(histories)
    .where(
        *(histories.c[name] == sa.bindparam(f"old_{name}") for name in ("process_id", "insert_time", "first_segment")),
        histories.c.nb_segments == sa.bindparam("old_nb_segments"),
    )
    .values({column.name: sa.bindparam(column.name) for column in histories.columns})
)
_PLACE = ("object_key", "object_begin", "object_end", "row_hash")
"""What changes of a segment when it is moved."""

_MOVE = (
    sa.update(segments)
    .where(segments.c.process_id == sa.bindparam("of_process"), segments.c.first_segment == sa.bindparam("number"))
    .values({name: sa.bindparam(name) for name in _PLACE})
)
_INSERT = {table.name: sa.insert(table) for table in (segments, rollups)}
"""Statements of every upload: made once, as that takes longer than they do."""


class MetadataStore:
    """The tables, in SQLite or PostgreSQL. Safe to use from many threads.

    All methods raise StoreUnavailable when the database does not answer, and CorruptData for a row that is damaged.

    Args:
        url: an SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        self._database = Database(url, settings or DatabaseSettings())
        self._visible: frozenset[str] | None = None

    def limited_to(self, process_ids: frozenset[str]) -> "MetadataStore":
        """The same tables as if they had no rows of other processes. What would add some is refused with
        PermissionDenied. It is closed with this one.

        Ids of streams are unique in all processes: one that is taken cannot be used here either.
        """
        limited = copy(self)
        limited._visible = process_ids
        return limited

    def close(self) -> None:
        self._database.close()

    # Telemetry in.

    def put_processes(self, rows: Sequence[ProcessRow]) -> None:
        """Store processes; a known one keeps its insert time and takes the new descriptions. Of two starts on the same
        clock, the earlier one stays.

        Raises:
            InvalidTelemetry: a known process comes with another clock, which would move its spans in time.
        """
        new = [HistoryRow(row.process_id, row.insert_time, 0, 0, 0, None, None, row.insert_time) for row in rows]
        self._put_descriptions(processes, "process", _of_one_clock, rows, {histories: new})

    def put_streams(self, rows: Sequence[StreamRow]) -> None:
        """Store streams; a known one keeps its insert time and takes the new properties.

        Raises:
            InvalidTelemetry: a known stream comes with another process, tags or format.
        """
        self._put_descriptions(streams, "stream", _unmoved_stream, rows, {})

    def grow(self, growths: Sequence[Growth]) -> None:
        """Add segments to histories, at most one growth for each, all or none, in one transaction.

        Raises:
            HistoryMoved: a history is no longer what its growth was made for; nothing was stored.
        """
        if not growths:
            return
        with self._database.write() as connection:
            moved = []
            # In order, so that two servers never wait for one another's rows.
            for growth in sorted(growths, key=lambda growth: growth.history.process_id):
                values = growth.history.to_database()
                before = {f"old_{name}": values[name] for name in ("process_id", "insert_time", "first_segment")}
                before["old_nb_segments"] = growth.nb_segments_before
                if connection.execute(_GROW, values | before).rowcount == 0:
                    moved.append(growth.history.process_id)
            if moved:
                raise HistoryMoved(moved)
            for target, rows in (
                (segments, [row for growth in growths for row in growth.segments]),
                (rollups, [row for growth in growths for row in growth.stretches]),
            ):
                if rows:
                    connection.execute(_INSERT[target.name], values_of(rows))

    def streams_of_ids(self, stream_ids: Collection[str]) -> dict[str, StreamRow]:
        """Stored streams of these ids."""
        statement = self._select(streams).where(streams.c.stream_id.in_(list(stream_ids)))
        return {stream.stream_id: stream for stream in self._rows(statement, StreamRow)}

    def processes_of_ids(self, process_ids: Collection[str]) -> dict[str, ProcessRow]:
        """Stored processes of these ids."""
        statement = self._select(processes).where(processes.c.process_id.in_(list(process_ids)))
        return {process.process_id: process for process in self._rows(statement, ProcessRow)}

    def known_process_ids(self, process_ids: Collection[str]) -> set[str]:
        """Which of these processes are stored."""
        statement = self._select(processes, processes.c.process_id).where(processes.c.process_id.in_(list(process_ids)))
        with self._database.read() as connection:
            return set(connection.scalars(statement))

    # Telemetry out.

    def process(self, process_id: str) -> ProcessRow:
        """One process.

        Raises:
            NotFound: there is none of this id.
        """
        row: ProcessRow = self._one(processes, processes.c.process_id, process_id, f"process {process_id!r}")
        return row

    def process_and_history(self, process_id: str) -> tuple[ProcessRow, HistoryRow]:
        """One process, and how far its telemetry has come; raises as `process`."""
        statement = self._select(processes, *processes.columns, *histories.columns).join_from(
            processes, histories, processes.c.process_id == histories.c.process_id
        )
        with self._database.read() as connection:
            row = connection.execute(statement.where(processes.c.process_id == process_id)).one_or_none()
        if row is None:
            raise NotFound(f"process {process_id!r} is unknown")
        return _both(row)

    def history(self, process_id: str) -> HistoryRow:
        """How far the telemetry of a process has come; raises as `process`."""
        row: HistoryRow = self._one(histories, histories.c.process_id, process_id, f"process {process_id!r}")
        return row

    def stream(self, stream_id: str) -> StreamRow:
        """One stream.

        Raises:
            NotFound: there is none of this id.
        """
        row: StreamRow = self._one(streams, streams.c.stream_id, stream_id, f"stream {stream_id!r}")
        return row

    def streams_of(self, process_id: str, stream_id: str | None = None) -> list[StreamRow]:
        """Streams of a process, or one of them, in the order in which they came."""
        statement = self._select(streams).where(streams.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(streams.c.stream_id == stream_id)
        return self._rows(statement.order_by(streams.c.insert_time, streams.c.stream_id), StreamRow)

    def stretches(self, process_id: str, keys: Iterable[tuple[int, int]]) -> list[StretchRow | SegmentRow]:
        """Stretches of a process, given how many segments each has and which is the first; one that is missing is left
        out. One statement for each size."""
        firsts: dict[int, list[int]] = {}
        for nb_segments, first_segment in keys:
            firsts.setdefault(nb_segments, []).append(first_segment)
        found: list[StretchRow | SegmentRow] = []
        for nb_segments, wanted in firsts.items():
            if nb_segments == 1:
                found += self.segments(process_id, wanted)
                continue
            table = rollups.c
            statement = self._select(rollups).where(
                table.process_id == process_id,
                table.nb_segments == nb_segments,
                _among(table.first_segment, wanted, nb_segments),
            )
            found += self._rows(statement, StretchRow)
        return found

    def segments(self, process_id: str, numbers: Collection[int]) -> list[SegmentRow]:
        """Segments of a process, those of these numbers that there are, in order."""
        table = segments.c
        statement = self._select(segments).where(
            table.process_id == process_id, _among(table.first_segment, numbers, 1)
        )
        return self._rows(statement.order_by(table.first_segment), SegmentRow)

    def check_history(self, history: HistoryRow) -> None:
        """Raises Removed if telemetry of a process has been removed since its history was read."""
        try:
            now = self.history(history.process_id)
        except NotFound:
            raise Removed(f"process {history.process_id!r} has been removed meanwhile") from None
        if (now.insert_time, now.first_segment) != (history.insert_time, history.first_segment):
            raise Removed(
                f"the oldest telemetry of process {history.process_id!r} has been removed while it was read; ask again"
            )

    def process_ids(self) -> list[str]:
        """The ids of all processes."""
        with self._database.read() as connection:
            return list(connection.scalars(self._select(processes, processes.c.process_id)))

    def scan_processes(self) -> Iterator[list[tuple[ProcessRow, HistoryRow]]]:
        """All processes, each with its history, in pieces."""
        both = self._select(processes, *processes.columns, *histories.columns).join_from(
            processes, histories, processes.c.process_id == histories.c.process_id
        )
        return self._database.scan(both.order_by(processes.c.start_time, processes.c.process_id), _both)

    def scan_streams(self) -> Iterator[list[StreamRow]]:
        """All streams, in pieces."""
        ordered = self._select(streams).order_by(streams.c.insert_time, streams.c.stream_id)
        return self._database.scan(ordered, StreamRow.from_database)

    def scan_segments(self) -> Iterator[list[SegmentRow]]:
        """All segments, process by process, in pieces."""
        ordered = self._select(segments).order_by(segments.c.process_id, segments.c.first_segment)
        return self._database.scan(ordered, SegmentRow.from_database, piece_rows=256)

    # Partitions.

    def partitions_of(self, process_id: str, view_set: str, first_segments: Collection[int]) -> list[PartitionRow]:
        """Partitions of a process whose stretch begins with one of these segments."""
        if not first_segments:
            return []
        table = partitions.c
        statement = self._select(partitions).where(
            table.process_id == process_id,
            table.view_set == view_set,
            table.first_segment.between(min(first_segments), max(first_segments)),
        )
        return self._rows(statement, PartitionRow)

    def scan_partitions(self) -> Iterator[list[PartitionRow]]:
        """All partitions, in pieces."""
        table = partitions.c
        ordered = self._select(partitions).order_by(
            table.process_id, table.view_set, table.first_segment, table.nb_segments
        )
        return self._database.scan(ordered, PartitionRow.from_database)

    def commit_partitions(self, rows: Sequence[PartitionRow], now: int) -> list[PartitionRow]:
        """Make finished files visible, each in place of those of the same stretch and of smaller ones within it.

        Files that are not needed then are garbage: those replaced, and those of rows that another server has committed.

        Returns:
            for each row the one that is visible now, which is another one of the same source if that was there first.
        """
        with self._database.write(durable=False) as connection:
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
                    self._throw_away(connection, [row.path], now)
                    continue
                _delete_partitions(connection, within)
                self._throw_away(connection, [other.path for other in within], now)
                connection.execute(sa.insert(partitions), row.to_database())
                visible.append(row)
        return visible

    def retire_partitions(self, view_set: str, process_id: str, time_range: TimeRange, now: int) -> list[PartitionRow]:
        """Drop the partitions of a process that overlap a time range; their files are garbage."""
        table = partitions.c
        statement = self._select(partitions).where(
            table.view_set == view_set,
            table.process_id == process_id,
            table.begin_time <= time_range.end_ns,
            table.end_time >= time_range.begin_ns,
        )
        with self._database.write() as connection:
            rows: list[PartitionRow] = rows_of(connection, statement, PartitionRow)
            _delete_partitions(connection, rows)
            self._throw_away(connection, [row.path for row in rows], now)
        return rows

    def forget_partition(self, row: PartitionRow, now: int) -> None:
        """Drop a partition whose file is lost or damaged; the file is garbage."""
        with self._database.write() as connection:
            _delete_partitions(connection, [row])
            self._throw_away(connection, [row.path], now)

    # Packing.

    def unpacked_stretches(self, process_id: str, nb_segments: int, max_bytes: int) -> list[int]:
        """The first segments of the stretches of so many segments, all there, that are in several objects and take so
        many bytes at most."""
        table = segments.c
        first = (table.first_segment // nb_segments * nb_segments).label("first")
        statement = (
            self._select(segments, first)
            .where(table.process_id == process_id)
            .group_by(first)
            .having(
                sa.func.count() == nb_segments,
                sa.func.count(table.object_key.distinct()) > 1,
                sa.func.sum(table.object_end - table.object_begin) <= max_bytes,
            )
            .order_by(first)
        )
        with self._database.read() as connection:
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
        with self._database.write() as connection:
            connection.execute(_locked_history(process_id))
            now = (
                sa.select(segments.c.object_key, segments.c.content_hash).where(here).order_by(segments.c.first_segment)
            )
            if connection.execute(now).all() != [(row.object_key, row.content_hash) for row in before]:
                return False
            connection.execute(_MOVE, [_moved(row) for row in after])
            named = sa.select(segments.c.object_key).where(segments.c.object_key.in_(keys)).distinct()
            self._throw_away(connection, sorted(keys.difference(connection.scalars(named))), kept_until)
        return True

    # Removal.

    def histories_ending_before(self, time_ns: int) -> list[HistoryRow]:
        """Processes whose last event is older than a time; those without events count by when they were sent."""
        table = histories.c
        ended = sa.func.coalesce(table.last_end_time, table.update_time) < time_ns
        return self._rows(self._select(histories).where(ended).order_by(table.process_id), HistoryRow)

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
        statement = self._select(histories, *histories.columns, kept).where(
            first.process_id == histories.c.process_id,
            first.first_segment == histories.c.first_segment,
            first.end_time < time_ns,
        )
        width = len(histories.columns)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(histories.c.process_id)).all()
        return [(HistoryRow.from_database(row[:width]), row[width]) for row in found if row[width] is not None]

    def oldest_history(self) -> HistoryRow | None:
        """The process whose first segment, or which itself if it has none, is the oldest of all."""
        first = segments.alias("first").c
        begin = sa.func.coalesce(first.begin_time, histories.c.update_time)
        statement = (
            self._select(histories)
            .outerjoin(
                segments.alias("first"),
                sa.and_(first.process_id == histories.c.process_id, first.first_segment == histories.c.first_segment),
            )
            .order_by(begin, histories.c.process_id)
            .limit(1)
        )
        rows = self._rows(statement, HistoryRow)
        return rows[0] if rows else None

    def lake_bytes(self) -> int:
        """What all segments and partitions take in the object store."""
        of_segments = sa.select(sa.func.coalesce(sa.func.sum(histories.c.size_bytes), 0)).scalar_subquery()
        of_partitions = sa.select(sa.func.coalesce(sa.func.sum(partitions.c.size_bytes), 0)).scalar_subquery()
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(of_segments + of_partitions)) or 0)

    def remove_process(self, process_id: str, now: int) -> int:
        """Remove all rows of a process; its objects are garbage.

        Returns:
            what the objects take, in bytes; 0 if there is no such process.
        """
        with self._database.write() as connection:
            rows = rows_of(connection, _locked_history(process_id), HistoryRow)
            of_partitions = _size_of_partitions(connection, partitions.c.process_id == process_id)
            for table, key in ((segments, segments.c.object_key), (partitions, partitions.c.path)):
                of_process = sa.select(key, sa.literal(now)).where(table.c.process_id == process_id).distinct()
                self._throw_away_selected(connection, of_process)
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
        with self._database.write() as connection:
            rows = rows_of(connection, _locked_history(process_id), HistoryRow)
            if not rows or (rows[0].insert_time, rows[0].first_segment) != (history.insert_time, history.first_segment):
                return 0
            removed = sa.and_(segments.c.process_id == process_id, segments.c.first_segment < end_segment)
            # An object may have segments on both sides; it goes with the last of them.
            shared = sa.select(segments.c.object_key).where(
                segments.c.process_id == process_id, segments.c.first_segment == end_segment
            )
            of_removed = sa.select(segments.c.object_key, sa.literal(now))
            keys = of_removed.where(removed, segments.c.object_key.not_in(shared)).distinct()
            self._throw_away_selected(connection, keys)
            table = partitions.c
            outdated = sa.and_(table.process_id == process_id, table.first_segment < end_segment)
            self._throw_away_selected(connection, sa.select(table.path, sa.literal(now)).where(outdated))
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
        with self._database.read() as connection:
            for column in (segments.c.object_key, partitions.c.path, garbage.c.object_key):
                known.update(connection.scalars(sa.select(column).where(column.in_(list(keys)))))
        return known

    def garbage(self, limit: int, now: int) -> list[str]:
        """Keys of objects that may be deleted by now."""
        may_go = sa.select(garbage.c.object_key).where(garbage.c.removed_time <= now)
        statement = may_go.order_by(garbage.c.object_key).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(statement))

    def deleted(self, keys: Sequence[str]) -> None:
        """Objects have been deleted, and are no garbage any more."""
        if keys:
            with self._database.write(durable=False) as connection:
                connection.execute(sa.delete(garbage).where(garbage.c.object_key.in_(list(keys))))

    # How it is done.

    def _throw_away(self, connection: sa.Connection, keys: Sequence[str], now: int) -> None:
        if keys:
            values = [{"object_key": key, "removed_time": now} for key in keys]
            connection.execute(self._database.insert(garbage).on_conflict_do_nothing(), values)

    def _throw_away_selected(self, connection: sa.Connection, keys: sa.Select[Any]) -> None:
        """As `_throw_away`, for keys and times that a statement selects."""
        insert = self._database.insert(garbage).from_select(["object_key", "removed_time"], keys)
        connection.execute(insert.on_conflict_do_nothing())

    def _select(self, table: sa.Table, *columns: Any) -> sa.Select[Any]:
        """Columns of a table, or all of them, of the processes that are visible."""
        statement: sa.Select[Any] = sa.select(*(columns or (table,)))
        return statement if self._visible is None else statement.where(table.c.process_id.in_(sorted(self._visible)))

    def _rows(self, statement: sa.Select[Any], row_type: type[Row]) -> list[Any]:
        with self._database.read() as connection:
            return rows_of(connection, statement, row_type)

    def _one(self, table: sa.Table, key: sa.Column[str], value: str, what: str) -> Any:
        rows = self._rows(self._select(table).where(key == value), _TYPES[table.name])
        if not rows:
            raise NotFound(f"{what} is unknown")
        return rows[0]

    def is_visible(self, process_id: str) -> bool:
        """Whether rows of a process are seen."""
        return self._visible is None or process_id in self._visible

    def _check_visible(self, rows: Sequence[Any]) -> None:
        for row in rows:
            if not self.is_visible(row.process_id):
                raise PermissionDenied(f"process {row.process_id!r} is not among those that you may write to")

    def _put_descriptions(
        self,
        table: sa.Table,
        noun: str,
        update: Callable[[Any, Any], Any],
        rows: Sequence[Any],
        beside: Mapping[sa.Table, Sequence[Row]],
    ) -> None:
        """Insert or update rows keyed by `<noun>_id`; `update` makes of a known and a given row the one to store. Rows
        `beside` them are inserted if they are not there."""
        if not rows:
            return
        self._check_visible(rows)
        key = f"{noun}_id"
        row_type = _TYPES[table.name]
        given = {getattr(row, key): row for row in rows}
        with self._database.write() as connection:
            stored = sa.select(table).where(table.c[key].in_(sorted(given))).order_by(table.c[key]).with_for_update()
            found = {getattr(row, key): row for row in rows_of(connection, stored, row_type)}
            for identity, row in sorted(given.items()):
                known = found.get(identity)
                if known is None:
                    insert = self._database.insert(table).on_conflict_do_nothing()
                    if connection.execute(insert, row.to_database()).rowcount == 0:
                        raise InvalidTelemetry(f"{noun} {identity!r} is being stored by another sender; send it again")
                    continue
                if not self.is_visible(known.process_id):
                    raise PermissionDenied(f"{noun} {identity!r} cannot be stored: its id is taken")
                changed = replace(update(known, row), insert_time=known.insert_time)
                connection.execute(sa.update(table).where(table.c[key] == identity), changed.to_database())
            for other, others in beside.items():
                connection.execute(self._database.insert(other).on_conflict_do_nothing(), values_of(others))


def _of_one_clock(known: ProcessRow, given: ProcessRow) -> ProcessRow:
    clock = known.clock
    if known.tsc_frequency == given.tsc_frequency and clock.to_ns(given.start_ticks) == given.start_time:
        if given.start_time < known.start_time:
            return given
        return replace(given, start_time=known.start_time, start_ticks=known.start_ticks)
    _check_unchanged("process", known.process_id, known, given, ("tsc_frequency", "start_time", "start_ticks"))
    return given


def _unmoved_stream(known: StreamRow, given: StreamRow) -> StreamRow:
    _check_unchanged("stream", known.stream_id, known, given, ("process_id", "tags", "format"))
    return given


def _check_unchanged(noun: str, identity: str, known: Row, given: Row, names: Sequence[str]) -> None:
    for name in names:
        if getattr(known, name) != getattr(given, name):
            raise InvalidTelemetry(
                f"{noun} {identity!r} is stored already with {name} {getattr(known, name)!r}, "
                f"given: {getattr(given, name)!r}"
            )


def _moved(row: SegmentRow) -> Mapping[str, Any]:
    values = row.to_database()
    return {name: values[name] for name in _PLACE} | {"of_process": row.process_id, "number": row.first_segment}


def _both(row: Sequence[Any]) -> tuple[ProcessRow, HistoryRow]:
    width = len(processes.columns)
    return ProcessRow.from_database(row[:width]), HistoryRow.from_database(row[width:])


def _size_of_partitions(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    total = sa.select(sa.func.coalesce(sa.func.sum(partitions.c.size_bytes), 0)).where(condition)
    return int(connection.scalar(total) or 0)


def _locked_history(process_id: str) -> sa.Select[Any]:
    """The history of a process, which nothing else can change before the transaction ends."""
    return sa.select(histories).where(histories.c.process_id == process_id).with_for_update()


def _among(column: sa.Column[int], numbers: Collection[int], step: int) -> sa.ColumnElement[bool]:
    """Whether a column has one of these numbers, which mostly follow one another in steps."""
    pieces: list[list[int]] = []
    for number in sorted(numbers):
        if pieces and number == pieces[-1][1] + step:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    return sa.or_(*(column.between(first, last) for first, last in pieces))


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
