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
from udtf.lake.metadata.access import ROW_TYPES, Access
from udtf.lake.metadata.database import Database, rows_of
from udtf.lake.metadata.partition_rows import PartitionRows
from udtf.lake.metadata.rows import (
    HistoryRow,
    ProcessRow,
    Row,
    SegmentRow,
    StreamRow,
    StretchRow,
    values_of,
)
from udtf.lake.metadata.tables import histories, processes, rollups, segments, streams
from udtf.lake.metadata.upkeep import Upkeep
from udtf.lake.settings import DatabaseSettings

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
_INSERT = {table.name: sa.insert(table) for table in (segments, rollups)}
"""Statements of every upload: made once, as that takes longer than they do."""


class MetadataStore:
    """The tables, in SQLite or PostgreSQL. Safe to use from many threads.

    All methods raise StoreUnavailable when the database does not answer, and CorruptData for a row that is damaged.

    Attributes:
        partitions: the rows of partitions.
        upkeep: what changes telemetry that is stored.

    Args:
        url: an SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        self._use(Access(Database(url, settings or DatabaseSettings())))

    def _use(self, access: Access) -> None:
        self._access = access
        self.partitions = PartitionRows(access)
        self.upkeep = Upkeep(access)

    def limited_to(self, process_ids: frozenset[str]) -> "MetadataStore":
        """The same tables as if they had no rows of other processes. What would add some is refused with
        PermissionDenied. It is closed with this one.

        Ids of streams are unique in all processes: one that is taken cannot be used here either.
        """
        limited = copy(self)
        limited._use(replace(self._access, visible=process_ids))
        return limited

    def is_visible(self, process_id: str) -> bool:
        """Whether rows of a process are seen."""
        return self._access.is_visible(process_id)

    def close(self) -> None:
        self._access.database.close()

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
        with self._access.database.write() as connection:
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
        statement = self._access.select(streams).where(streams.c.stream_id.in_(list(stream_ids)))
        return {stream.stream_id: stream for stream in self._access.rows(statement, StreamRow)}

    def processes_of_ids(self, process_ids: Collection[str]) -> dict[str, ProcessRow]:
        """Stored processes of these ids."""
        statement = self._access.select(processes).where(processes.c.process_id.in_(list(process_ids)))
        return {process.process_id: process for process in self._access.rows(statement, ProcessRow)}

    def known_process_ids(self, process_ids: Collection[str]) -> set[str]:
        """Which of these processes are stored."""
        statement = self._access.select(processes, processes.c.process_id).where(
            processes.c.process_id.in_(list(process_ids))
        )
        with self._access.database.read() as connection:
            return set(connection.scalars(statement))

    # Telemetry out.

    def process(self, process_id: str) -> ProcessRow:
        """One process.

        Raises:
            NotFound: there is none of this id.
        """
        row: ProcessRow = self._access.one(processes, processes.c.process_id, process_id, f"process {process_id!r}")
        return row

    def process_and_history(self, process_id: str) -> tuple[ProcessRow, HistoryRow]:
        """One process, and how far its telemetry has come; raises as `process`."""
        statement = self._access.select(processes, *processes.columns, *histories.columns).join_from(
            processes, histories, processes.c.process_id == histories.c.process_id
        )
        with self._access.database.read() as connection:
            row = connection.execute(statement.where(processes.c.process_id == process_id)).one_or_none()
        if row is None:
            raise NotFound(f"process {process_id!r} is unknown")
        return _both(row)

    def history(self, process_id: str) -> HistoryRow:
        """How far the telemetry of a process has come; raises as `process`."""
        row: HistoryRow = self._access.one(histories, histories.c.process_id, process_id, f"process {process_id!r}")
        return row

    def stream(self, stream_id: str) -> StreamRow:
        """One stream.

        Raises:
            NotFound: there is none of this id.
        """
        row: StreamRow = self._access.one(streams, streams.c.stream_id, stream_id, f"stream {stream_id!r}")
        return row

    def streams_of(self, process_id: str, stream_id: str | None = None) -> list[StreamRow]:
        """Streams of a process, or one of them, in the order in which they came."""
        statement = self._access.select(streams).where(streams.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(streams.c.stream_id == stream_id)
        return self._access.rows(statement.order_by(streams.c.insert_time, streams.c.stream_id), StreamRow)

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
            statement = self._access.select(rollups).where(
                table.process_id == process_id,
                table.nb_segments == nb_segments,
                _among(table.first_segment, wanted, nb_segments),
            )
            found += self._access.rows(statement, StretchRow)
        return found

    def segments(self, process_id: str, numbers: Collection[int]) -> list[SegmentRow]:
        """Segments of a process, those of these numbers that there are, in order."""
        table = segments.c
        statement = self._access.select(segments).where(
            table.process_id == process_id, _among(table.first_segment, numbers, 1)
        )
        return self._access.rows(statement.order_by(table.first_segment), SegmentRow)

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
        with self._access.database.read() as connection:
            return list(connection.scalars(self._access.select(processes, processes.c.process_id)))

    def scan_processes(self) -> Iterator[list[tuple[ProcessRow, HistoryRow]]]:
        """All processes, each with its history, in pieces."""
        both = self._access.select(processes, *processes.columns, *histories.columns).join_from(
            processes, histories, processes.c.process_id == histories.c.process_id
        )
        return self._access.database.scan(both.order_by(processes.c.start_time, processes.c.process_id), _both)

    def scan_streams(self) -> Iterator[list[StreamRow]]:
        """All streams, in pieces."""
        ordered = self._access.select(streams).order_by(streams.c.insert_time, streams.c.stream_id)
        return self._access.database.scan(ordered, StreamRow.from_database)

    def scan_segments(self) -> Iterator[list[SegmentRow]]:
        """All segments, process by process, in pieces."""
        ordered = self._access.select(segments).order_by(segments.c.process_id, segments.c.first_segment)
        return self._access.database.scan(ordered, SegmentRow.from_database, piece_rows=256)

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
        self._access.check_visible(rows)
        key = f"{noun}_id"
        row_type = ROW_TYPES[table.name]
        given = {getattr(row, key): row for row in rows}
        with self._access.database.write() as connection:
            stored = sa.select(table).where(table.c[key].in_(sorted(given))).order_by(table.c[key]).with_for_update()
            found = {getattr(row, key): row for row in rows_of(connection, stored, row_type)}
            for identity, row in sorted(given.items()):
                known = found.get(identity)
                if known is None:
                    insert = self._access.database.insert(table).on_conflict_do_nothing()
                    if connection.execute(insert, row.to_database()).rowcount == 0:
                        raise InvalidTelemetry(f"{noun} {identity!r} is being stored by another sender; send it again")
                    continue
                if not self._access.is_visible(known.process_id):
                    raise PermissionDenied(f"{noun} {identity!r} cannot be stored: its id is taken")
                changed = replace(update(known, row), insert_time=known.insert_time)
                connection.execute(sa.update(table).where(table.c[key] == identity), changed.to_database())
            for other, others in beside.items():
                connection.execute(self._access.database.insert(other).on_conflict_do_nothing(), values_of(others))


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


def _both(row: Sequence[Any]) -> tuple[ProcessRow, HistoryRow]:
    width = len(processes.columns)
    return ProcessRow.from_database(row[:width]), HistoryRow.from_database(row[width:])


def _among(column: sa.Column[int], numbers: Collection[int], step: int) -> sa.ColumnElement[bool]:
    """Whether a column has one of these numbers, which mostly follow one another in steps."""
    pieces: list[list[int]] = []
    for number in sorted(numbers):
        if pieces and number == pieces[-1][1] + step:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    return sa.or_(*(column.between(first, last) for first, last in pieces))
