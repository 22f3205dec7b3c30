"""The metadata store: what is asked of the four tables, and what changes them.

Every read is one statement, whatever the number of threads; every write is one short transaction.
Times are integers here, nanoseconds since the Unix epoch.
"""

from collections.abc import Collection, Iterator, Sequence
from copy import copy
from typing import Any

import sqlalchemy as sa

from udtf.errors import InvalidTelemetry, NotFound, PermissionDenied
from udtf.lake.metadata.database import Database, rows_of
from udtf.lake.metadata.neighbours import check_neighbours
from udtf.lake.metadata.rows import BlockRow, PartitionRow, ProcessRow, StreamRow
from udtf.lake.metadata.tables import PARTITION_COLUMNS, blocks, partitions, processes, streams
from udtf.lake.settings import DatabaseSettings
from udtf.time_range import TimeRange


class MetadataStore:
    """The four tables, in SQLite or PostgreSQL. Safe to use from many threads.

    All methods raise StoreUnavailable when the database does not answer.

    Args:
        url: an SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        self._database = Database(url, settings or DatabaseSettings())
        self._visible: frozenset[str] | None = None

    def limited_to(self, process_ids: frozenset[str]) -> "MetadataStore":
        """The same tables as if they had no rows of other processes. What would add some is refused with
        PermissionDenied. It is closed with this one.

        Ids of streams and blocks are unique in all processes: one that is taken cannot be used here either.
        """
        limited = copy(self)
        limited._visible = process_ids
        return limited

    def close(self) -> None:
        self._database.close()

    # Telemetry in.

    def put_processes(self, rows: Sequence[ProcessRow]) -> None:
        """Store processes; a known one keeps its insert time and takes the new descriptions.

        Raises:
            InvalidTelemetry: a known process comes with another clock, which would move its spans in time.
        """
        fixed = ("tsc_frequency", "start_time", "start_ticks")
        self._put_descriptions(processes, "process", fixed, rows)

    def put_streams(self, rows: Sequence[StreamRow]) -> None:
        """Store streams; a known one keeps its insert time and takes the new properties.

        Raises:
            InvalidTelemetry: a known stream comes with another process, tags or format.
        """
        self._put_descriptions(streams, "stream", ("process_id", "tags", "format"), rows)

    def put_blocks(self, rows: Sequence[BlockRow]) -> None:
        """Store blocks, all or none; one that is stored already with the same content is left as it is.

        Raises:
            InvalidTelemetry: a block is known with other content, or its events overlap those of another block, or its
                time runs backwards against another block.
        """
        if not rows:
            return
        self._check_visible(rows)
        with self._database.write() as connection:
            self._lock_streams(connection, {row.stream_id for row in rows})
            new = _new_blocks(connection, rows)
            if not new:
                return
            try:
                connection.execute(sa.insert(blocks), [vars(row) for row in new])
            except sa.exc.IntegrityError as error:
                raise InvalidTelemetry(
                    "another sender stored a block of the same id or the same events at the same time; send again"
                ) from error
            now = max(row.insert_time for row in new)
            # In order, so that two senders never wait for one another's rows.
            for table, key in ((processes, "process_id"), (streams, "stream_id")):
                for identity in sorted({getattr(row, key) for row in new}):
                    connection.execute(sa.update(table).where(table.c[key] == identity).values(last_update_time=now))

    def new_blocks(self, rows: Sequence[BlockRow]) -> list[BlockRow]:
        """Those blocks that are not stored, as things are. Raises as `put_blocks`, which looks again."""
        self._check_visible(rows)
        with self._database.read() as connection:
            return _new_blocks(connection, rows)

    def streams_of_ids(self, stream_ids: Collection[str]) -> dict[str, tuple[StreamRow, ProcessRow]]:
        """Stored streams of these ids, each with its process."""
        found = self._database.rows(self._select(streams).where(streams.c.stream_id.in_(list(stream_ids))), StreamRow)
        process_ids = {stream.process_id for stream in found}
        statement = self._select(processes).where(processes.c.process_id.in_(list(process_ids)))
        process_of = {row.process_id: row for row in self._database.rows(statement, ProcessRow)}
        return {stream.stream_id: (stream, process_of[stream.process_id]) for stream in found}

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
        rows = self._database.rows(self._select(processes).where(processes.c.process_id == process_id), ProcessRow)
        if not rows:
            raise NotFound(f"process {process_id!r} is unknown")
        row: ProcessRow = rows[0]
        return row

    def stream(self, stream_id: str) -> StreamRow:
        """One stream.

        Raises:
            NotFound: there is none of this id.
        """
        rows = self._database.rows(self._select(streams).where(streams.c.stream_id == stream_id), StreamRow)
        if not rows:
            raise NotFound(f"stream {stream_id!r} is unknown")
        row: StreamRow = rows[0]
        return row

    def streams_of(self, process_id: str, stream_id: str | None = None) -> list[StreamRow]:
        """Streams of a process, or one of them, in the order in which they came."""
        statement = self._select(streams).where(streams.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(streams.c.stream_id == stream_id)
        return self._database.rows(statement.order_by(streams.c.insert_time, streams.c.stream_id), StreamRow)

    def blocks_of(self, process_id: str, stream_id: str | None = None) -> list[BlockRow]:
        """Blocks of a process, or of one of its streams, stream by stream in the order of their events."""
        statement = self._select(blocks).where(blocks.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(blocks.c.stream_id == stream_id)
        return self._database.rows(statement.order_by(blocks.c.stream_id, blocks.c.object_offset), BlockRow)

    def recent_blocks_of(self, process_id: str, since_ns: int) -> tuple[list[BlockRow], int]:
        """Blocks of a process inserted at a time or later, in no order, and the number of all its blocks as of then.

        The number is not known, and 0, where no block is that recent.
        """
        total = sa.select(sa.func.count()).where(blocks.c.process_id == process_id).scalar_subquery()
        statement = self._select(blocks, blocks, total).where(
            blocks.c.process_id == process_id, blocks.c.insert_time >= since_ns
        )
        with self._database.read() as connection:
            found = connection.execute(statement).all()
        return [BlockRow(*row[:-1]) for row in found], found[0][-1] if found else 0

    def process_ids(self) -> list[str]:
        """The ids of all processes."""
        with self._database.read() as connection:
            return list(connection.scalars(self._select(processes, processes.c.process_id)))

    def scan_processes(self) -> Iterator[list[ProcessRow]]:
        """All processes, in pieces."""
        return self._database.scan(
            self._select(processes).order_by(processes.c.start_time, processes.c.process_id), ProcessRow
        )

    def scan_streams(self) -> Iterator[list[StreamRow]]:
        """All streams, in pieces."""
        return self._database.scan(
            self._select(streams).order_by(streams.c.insert_time, streams.c.stream_id), StreamRow
        )

    def scan_blocks(self) -> Iterator[list[BlockRow]]:
        """All blocks, in pieces."""
        return self._database.scan(self._select(blocks).order_by(blocks.c.stream_id, blocks.c.object_offset), BlockRow)

    # Partitions.

    def partitions_of(
        self, process_id: str, view_set: str, time_range: TimeRange, stream_id: str | None = None
    ) -> list[PartitionRow]:
        """Partitions of a process that a time range can touch: those that overlap it, and those with spans that
        leave or enter them, in which a span of the range may begin or end."""
        table = partitions.c
        statement = self._select(partitions, *PARTITION_COLUMNS).where(
            table.process_id == process_id,
            table.view_set == view_set,
            sa.or_(
                sa.and_(table.begin_time <= time_range.end_ns, table.end_time >= time_range.begin_ns),
                table.unmatched_ends > 0,
                table.unmatched_begins > 0,
            ),
        )
        if stream_id is not None:
            statement = statement.where(table.stream_id == stream_id)
        return self._database.rows(statement, PartitionRow)

    def summaries(self, partition_ids: Collection[str]) -> dict[str, bytes]:
        """The encoded summaries of partitions, by id; those that are no longer visible are missing."""
        table = partitions.c
        statement = self._select(partitions, table.partition_id, table.summary).where(
            table.partition_id.in_(list(partition_ids))
        )
        with self._database.read() as connection:
            return {row.partition_id: row.summary for row in connection.execute(statement)}

    def scan_partitions(self) -> Iterator[list[PartitionRow]]:
        """All partitions, in pieces."""
        order = (
            partitions.c.view_set,
            partitions.c.instance_id,
            partitions.c.stream_id,
            partitions.c.begin_offset,
        )
        return self._database.scan(self._select(partitions, *PARTITION_COLUMNS).order_by(*order), PartitionRow)

    def commit_partitions(
        self, built: Sequence[tuple[PartitionRow, bytes]]
    ) -> tuple[list[PartitionRow], list[PartitionRow]]:
        """Make finished files visible with their summaries, each in place of older ones of the same events.

        Returns:
            for each row, the one that is visible now (another one of the same source if somebody was faster); and
            those that are visible no longer, whose files the caller deletes.
        """
        table = partitions.c
        rows = [row for row, _ in built]
        with self._database.write(durable=False) as connection:
            self._lock_streams(connection, {row.stream_id for row in rows})
            values = [{**vars(row), "summary": summary} for row, summary in built]
            # One statement for any number of rows: SQLAlchemy compiles it once.
            insert = self._database.insert(partitions).on_conflict_do_nothing().returning(table.partition_id)
            inserted = set(connection.scalars(insert, values))
            winners = {
                (winner.view_set, winner.stream_id, winner.source_hash): winner
                for row in rows
                if row.partition_id not in inserted
                for winner in rows_of(connection, _select_partitions().where(_same_source(row)), PartitionRow)
            }
            near = _select_partitions().where(
                table.stream_id.in_({row.stream_id for row in rows}),
                table.begin_offset < max(row.end_offset for row in rows),
                table.end_offset > min(row.begin_offset for row in rows),
            )
            replaced = _replaced_by(rows, rows_of(connection, near, PartitionRow))
            _delete_partitions(connection, replaced)
        return [winners.get((row.view_set, row.stream_id, row.source_hash), row) for row in rows], replaced

    def retire_partitions(self, view_set: str, instance_id: str, time_range: TimeRange) -> list[PartitionRow]:
        """Drop the rows of the partitions that overlap a time range; the caller deletes their files."""
        table = partitions.c
        statement = self._select(partitions, *PARTITION_COLUMNS).where(
            table.view_set == view_set,
            table.instance_id == instance_id,
            table.begin_time <= time_range.end_ns,
            table.end_time >= time_range.begin_ns,
        )
        with self._database.write() as connection:
            rows: list[PartitionRow] = rows_of(connection, statement, PartitionRow)
            _delete_partitions(connection, rows)
        return rows

    def forget_partition(self, row: PartitionRow) -> None:
        """Drop the row of a partition whose file is lost or unreadable."""
        with self._database.write() as connection:
            _delete_partitions(connection, [row])

    # How it is done.

    def _select(self, table: sa.Table, *columns: Any) -> sa.Select[Any]:
        """Columns of a table, or all of them, of the processes that are visible."""
        statement: sa.Select[Any] = sa.select(*(columns or (table,)))
        return statement if self._visible is None else statement.where(table.c.process_id.in_(sorted(self._visible)))

    def _is_visible(self, process_id: str) -> bool:
        return self._visible is None or process_id in self._visible

    def _check_visible(self, rows: Sequence[Any]) -> None:
        for row in rows:
            if not self._is_visible(row.process_id):
                raise PermissionDenied(f"process {row.process_id!r} is not among those that you may write to")

    def _put_descriptions(self, table: sa.Table, noun: str, fixed: Collection[str], rows: Sequence[Any]) -> None:
        """Insert or update rows keyed by `<noun>_id`, refusing a change to the fixed columns."""
        if not rows:
            return
        self._check_visible(rows)
        key = f"{noun}_id"
        with self._database.write() as connection:
            for row in sorted(rows, key=lambda row: str(getattr(row, key))):
                values = vars(row)
                insert = self._database.insert(table).values(**values)
                changed = {name: insert.excluded[name] for name in values if name not in (key, "insert_time", *fixed)}
                connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=changed))
            stored = sa.select(table).where(table.c[key].in_([getattr(row, key) for row in rows]))
            found = {mapping[key]: mapping for mapping in connection.execute(stored).mappings()}
            for row in rows:
                if not self._is_visible(found[getattr(row, key)]["process_id"]):
                    raise PermissionDenied(f"{noun} {getattr(row, key)!r} cannot be stored: its id is taken")
                for name in fixed:
                    was, came = found[getattr(row, key)][name], getattr(row, name)
                    if was != came:
                        raise InvalidTelemetry(
                            f"{noun} {getattr(row, key)!r} is stored already with {name} {was!r}, given: {came!r}"
                        )

    def _lock_streams(self, connection: sa.Connection, stream_ids: Collection[str]) -> None:
        """Let nobody else change what hangs on these streams until the transaction ends, or two servers could each
        commit what the other one's commit rules out. In a fixed order, so that they never wait for one another."""
        if self._database.is_sqlite:
            return  # It has one writer at a time.
        statement = sa.select(streams.c.stream_id).where(streams.c.stream_id.in_(sorted(stream_ids)))
        connection.execute(statement.order_by(streams.c.stream_id).with_for_update()).all()


def _select_partitions() -> sa.Select[Any]:
    return sa.select(*PARTITION_COLUMNS)


def _same_source(row: PartitionRow) -> sa.ColumnElement[bool]:
    table = partitions.c
    return sa.and_(
        table.view_set == row.view_set, table.stream_id == row.stream_id, table.source_hash == row.source_hash
    )


def _replaced_by(rows: Sequence[PartitionRow], others: Sequence[PartitionRow]) -> list[PartitionRow]:
    """Those of the others that hold events of one of the rows, made from other blocks."""
    by_view: dict[tuple[str, str], list[PartitionRow]] = {}
    for row in rows:
        by_view.setdefault((row.view_set, row.stream_id), []).append(row)
    return [
        other
        for other in others
        if any(
            row.source_hash != other.source_hash
            and row.begin_offset < other.end_offset
            and row.end_offset > other.begin_offset
            for row in by_view.get((other.view_set, other.stream_id), ())
        )
    ]


def _delete_partitions(connection: sa.Connection, rows: Sequence[PartitionRow]) -> None:
    identities = [row.partition_id for row in rows]
    if identities:
        connection.execute(sa.delete(partitions).where(partitions.c.partition_id.in_(identities)))


def _new_blocks(connection: sa.Connection, rows: Sequence[BlockRow]) -> list[BlockRow]:
    statement = sa.select(blocks.c.block_id, blocks.c.stream_id, blocks.c.object_offset, blocks.c.payload_hash)
    stored = connection.execute(statement.where(blocks.c.block_id.in_([row.block_id for row in rows])))
    known = {block_id: tuple(content) for block_id, *content in stored}
    for row in rows:
        if known.get(row.block_id, row.content) != row.content:
            raise InvalidTelemetry(f"block {row.block_id!r} is stored already, with other content")
    new = [row for row in rows if row.block_id not in known]
    check_neighbours(connection, new)
    return new
