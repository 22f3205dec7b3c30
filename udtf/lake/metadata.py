"""The metadata database: processes, streams, blocks, partitions. The only module that knows SQLAlchemy.

Every read is one statement, whatever the number of threads; every write is one short transaction.
Times are integers here, nanoseconds since the Unix epoch.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from udtf.errors import InvalidTelemetry, NotFound
from udtf.lake.clock import Clock
from udtf.time_range import TimeRange

T = TypeVar("T")

_CLAUSES_PER_STATEMENT = 200
"""Databases bound how deep a condition may nest."""

_TABLES = sa.MetaData()

_processes = sa.Table(
    "processes",
    _TABLES,
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("exe", sa.Text),
    sa.Column("username", sa.Text),
    sa.Column("realname", sa.Text),
    sa.Column("computer", sa.Text),
    sa.Column("distro", sa.Text),
    sa.Column("cpu_brand", sa.Text),
    sa.Column("tsc_frequency", sa.BigInteger, nullable=False),
    sa.Column("start_time", sa.BigInteger, nullable=False),
    sa.Column("start_ticks", sa.BigInteger, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("parent_process_id", sa.Text),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
)

_streams = sa.Table(
    "streams",
    _TABLES,
    sa.Column("stream_id", sa.Text, primary_key=True),
    sa.Column("process_id", sa.Text, nullable=False, index=True),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
)

_blocks = sa.Table(
    "blocks",
    _TABLES,
    sa.Column("block_id", sa.Text, primary_key=True),
    sa.Column("stream_id", sa.Text, nullable=False),
    sa.Column("process_id", sa.Text, nullable=False, index=True),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("begin_ticks", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("end_ticks", sa.BigInteger, nullable=False),
    sa.Column("nb_objects", sa.BigInteger, nullable=False),
    sa.Column("object_offset", sa.BigInteger, nullable=False),
    sa.Column("payload_size", sa.BigInteger, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    # Not shown in SQL: what the payload must hash to, and what of it is matched only in other blocks.
    sa.Column("payload_hash", sa.Text, nullable=False),
    sa.Column("unmatched_ends", sa.BigInteger, nullable=False),
    sa.Column("unmatched_begins", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("stream_id", "object_offset", name="blocks_of_a_stream_do_not_overlap"),
)

_partitions = sa.Table(
    "partitions",
    _TABLES,
    sa.Column("partition_id", sa.Text, primary_key=True),
    sa.Column("view_set", sa.Text, nullable=False),
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("process_id", sa.Text, nullable=False, index=True),
    sa.Column("stream_id", sa.Text, nullable=False),
    sa.Column("begin_offset", sa.BigInteger, nullable=False),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("unmatched_ends", sa.BigInteger, nullable=False),
    sa.Column("unmatched_begins", sa.BigInteger, nullable=False),
    sa.Column("nb_rows", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("source_hash", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    # Read only when it is needed: it is much larger than all the rest. See `partition_file.Summary`.
    sa.Column("summary", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("view_set", "stream_id", "source_hash", name="one_partition_per_source"),
)


_PARTITION_COLUMNS = [column for column in _partitions.columns if column.name != "summary"]


@dataclass(frozen=True)
class ProcessRow:
    """A process as stored."""

    process_id: str
    exe: str | None
    username: str | None
    realname: str | None
    computer: str | None
    distro: str | None
    cpu_brand: str | None
    tsc_frequency: int
    start_time: int
    start_ticks: int
    insert_time: int
    parent_process_id: str | None
    properties: dict[str, str]
    last_update_time: int

    @property
    def clock(self) -> Clock:
        return Clock(self.start_time, self.start_ticks, self.tsc_frequency)


@dataclass(frozen=True)
class StreamRow:
    """A stream as stored."""

    stream_id: str
    process_id: str
    tags: list[str]
    properties: dict[str, str]
    format: str
    insert_time: int
    last_update_time: int


@dataclass(frozen=True)
class BlockRow:
    """A block as stored; its payload is the object `payload_key`."""

    block_id: str
    stream_id: str
    process_id: str
    begin_time: int
    begin_ticks: int
    end_time: int
    end_ticks: int
    nb_objects: int
    object_offset: int
    payload_size: int
    insert_time: int
    payload_hash: str
    unmatched_ends: int
    unmatched_begins: int

    @property
    def payload_key(self) -> str:
        return f"blobs/{self.process_id}/{self.stream_id}/{self.block_id}"

    @property
    def end_offset(self) -> int:
        """Ordinal of the event after the last one."""
        return self.object_offset + self.nb_objects


@dataclass(frozen=True)
class PartitionRow:
    """A materialized Parquet partition: one file, made from known blocks of one stream; all but its summary."""

    partition_id: str
    view_set: str
    instance_id: str
    process_id: str
    stream_id: str
    begin_offset: int
    end_offset: int
    begin_time: int
    end_time: int
    unmatched_ends: int
    unmatched_begins: int
    nb_rows: int
    size_bytes: int
    path: str
    source_hash: str
    insert_time: int


class MetadataStore:
    """The four tables, in SQLite or PostgreSQL. Safe to use from many threads.

    Args:
        url: an SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
        pool_size: most connections that are ever open at once.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=60,
            pool_pre_ping=parsed.host is not None,
        )
        self._insert: Any = postgresql.insert
        if self._engine.dialect.name == "sqlite":
            self._insert = sqlite.insert
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._create_tables()

    def close(self) -> None:
        self._engine.dispose()

    # Telemetry in.

    def put_processes(self, rows: Sequence[ProcessRow]) -> None:
        """Store processes; a known one keeps its insert time and takes the new descriptions.

        Raises:
            InvalidTelemetry: a known process comes with another clock, which would move its spans in time.
        """
        fixed = ("tsc_frequency", "start_time", "start_ticks")
        self._put_descriptions(_processes, "process", fixed, rows)

    def put_streams(self, rows: Sequence[StreamRow]) -> None:
        """Store streams; a known one keeps its insert time and takes the new properties.

        Raises:
            InvalidTelemetry: a known stream comes with another process, tags or format.
        """
        self._put_descriptions(_streams, "stream", ("process_id", "tags", "format"), rows)

    def put_blocks(self, rows: Sequence[BlockRow]) -> None:
        """Store blocks, all or none; one that is stored already with the same content is left as it is.

        Raises:
            InvalidTelemetry: a block is known with other content, or its events overlap those of another block.
        """
        if not rows:
            return
        with self._write() as connection:
            self._lock_streams(connection, {row.stream_id for row in rows})
            known = {
                row.block_id: row.payload_hash
                for row in connection.execute(
                    sa.select(_blocks.c.block_id, _blocks.c.payload_hash).where(
                        _blocks.c.block_id.in_([row.block_id for row in rows])
                    )
                )
            }
            for row in rows:
                if known.get(row.block_id, row.payload_hash) != row.payload_hash:
                    raise InvalidTelemetry(f"block {row.block_id!r} is stored already, with other content")
            new = [row for row in rows if row.block_id not in known]
            _check_overlaps(connection, new)
            if not new:
                return
            try:
                connection.execute(sa.insert(_blocks), [vars(row) for row in new])
            except sa.exc.IntegrityError as error:
                raise InvalidTelemetry(
                    "another sender stored a block of the same id or the same events at the same time; send again"
                ) from error
            now = max(row.insert_time for row in new)
            # In order, so that two senders never wait for one another's rows.
            for table, key in ((_processes, "process_id"), (_streams, "stream_id")):
                for identity in sorted({getattr(row, key) for row in new}):
                    connection.execute(sa.update(table).where(table.c[key] == identity).values(last_update_time=now))

    def blocks_of_ids(self, block_ids: Collection[str]) -> dict[str, BlockRow]:
        """Stored blocks of these ids."""
        statement = sa.select(_blocks).where(_blocks.c.block_id.in_(list(block_ids)))
        return {row.block_id: row for row in self._rows(statement, BlockRow)}

    def streams_of_ids(self, stream_ids: Collection[str]) -> dict[str, tuple[StreamRow, ProcessRow]]:
        """Stored streams of these ids, each with its process."""
        streams = self._rows(sa.select(_streams).where(_streams.c.stream_id.in_(list(stream_ids))), StreamRow)
        process_ids = {stream.process_id for stream in streams}
        statement = sa.select(_processes).where(_processes.c.process_id.in_(list(process_ids)))
        processes = {row.process_id: row for row in self._rows(statement, ProcessRow)}
        return {stream.stream_id: (stream, processes[stream.process_id]) for stream in streams}

    def known_process_ids(self, process_ids: Collection[str]) -> set[str]:
        """Which of these processes are stored."""
        statement = sa.select(_processes.c.process_id).where(_processes.c.process_id.in_(list(process_ids)))
        with self._read() as connection:
            return set(connection.scalars(statement))

    # Telemetry out.

    def process(self, process_id: str) -> ProcessRow:
        """One process.

        Raises:
            NotFound: there is none of this id.
        """
        rows = self._rows(sa.select(_processes).where(_processes.c.process_id == process_id), ProcessRow)
        if not rows:
            raise NotFound(f"process {process_id!r} is unknown")
        row: ProcessRow = rows[0]
        return row

    def stream(self, stream_id: str) -> StreamRow:
        """One stream.

        Raises:
            NotFound: there is none of this id.
        """
        rows = self._rows(sa.select(_streams).where(_streams.c.stream_id == stream_id), StreamRow)
        if not rows:
            raise NotFound(f"stream {stream_id!r} is unknown")
        row: StreamRow = rows[0]
        return row

    def streams_of(self, process_id: str, stream_id: str | None = None) -> list[StreamRow]:
        """Streams of a process, or one of them, in the order in which they came."""
        statement = sa.select(_streams).where(_streams.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(_streams.c.stream_id == stream_id)
        return self._rows(statement.order_by(_streams.c.insert_time, _streams.c.stream_id), StreamRow)

    def blocks_of(self, process_id: str, stream_id: str | None = None) -> list[BlockRow]:
        """Blocks of a process, or of one of its streams, stream by stream in the order of their events."""
        statement = sa.select(_blocks).where(_blocks.c.process_id == process_id)
        if stream_id is not None:
            statement = statement.where(_blocks.c.stream_id == stream_id)
        return self._rows(statement.order_by(_blocks.c.stream_id, _blocks.c.object_offset), BlockRow)

    def scan_processes(self) -> Iterator[list[ProcessRow]]:
        """All processes, in pieces."""
        return self._scan(sa.select(_processes).order_by(_processes.c.start_time, _processes.c.process_id), ProcessRow)

    def scan_streams(self) -> Iterator[list[StreamRow]]:
        """All streams, in pieces."""
        return self._scan(sa.select(_streams).order_by(_streams.c.insert_time, _streams.c.stream_id), StreamRow)

    def scan_blocks(self) -> Iterator[list[BlockRow]]:
        """All blocks, in pieces."""
        return self._scan(sa.select(_blocks).order_by(_blocks.c.stream_id, _blocks.c.object_offset), BlockRow)

    # Partitions.

    def partitions_of(
        self, process_id: str, view_set: str, time_range: TimeRange, stream_id: str | None = None
    ) -> list[PartitionRow]:
        """Partitions of a process that a time range can touch: those that overlap it, and those with spans that
        leave or enter them, in which a span of the range may begin or end."""
        table = _partitions.c
        statement = _select_partitions().where(
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
        return self._rows(statement, PartitionRow)

    def summaries(self, partition_ids: Collection[str]) -> dict[str, bytes]:
        """The encoded summaries of partitions, by id; those that are no longer visible are missing."""
        table = _partitions.c
        statement = sa.select(table.partition_id, table.summary).where(table.partition_id.in_(list(partition_ids)))
        with self._read() as connection:
            return {row.partition_id: row.summary for row in connection.execute(statement)}

    def scan_partitions(self) -> Iterator[list[PartitionRow]]:
        """All partitions, in pieces."""
        order = (
            _partitions.c.view_set,
            _partitions.c.instance_id,
            _partitions.c.stream_id,
            _partitions.c.begin_offset,
        )
        return self._scan(_select_partitions().order_by(*order), PartitionRow)

    def commit_partitions(
        self, partitions: Sequence[tuple[PartitionRow, bytes]]
    ) -> tuple[list[PartitionRow], list[PartitionRow]]:
        """Make finished files visible with their summaries, each in place of older ones of the same events.

        Returns:
            for each row, the one that is visible now (another one of the same source if somebody was faster); and
            those that are visible no longer, whose files the caller deletes.
        """
        table = _partitions.c
        rows = [row for row, _ in partitions]
        with self._write(durable=False) as connection:
            self._lock_streams(connection, {row.stream_id for row in rows})
            values = [{**vars(row), "summary": summary} for row, summary in partitions]
            insert = self._insert(_partitions).values(values).on_conflict_do_nothing()
            inserted = set(connection.scalars(insert.returning(table.partition_id)))
            winners = {
                (winner.view_set, winner.stream_id, winner.source_hash): winner
                for row in rows
                if row.partition_id not in inserted
                for winner in _rows(connection, _select_partitions().where(_same_source(row)), PartitionRow)
            }
            replaced = sa.or_(
                *(
                    sa.and_(
                        table.view_set == row.view_set,
                        table.stream_id == row.stream_id,
                        table.source_hash != row.source_hash,
                        table.begin_offset < row.end_offset,
                        table.end_offset > row.begin_offset,
                    )
                    for row in rows
                )
            )
            delete = sa.delete(_partitions).where(replaced).returning(*_PARTITION_COLUMNS)
            deleted = [PartitionRow(*row) for row in connection.execute(delete)]
        return [winners.get((row.view_set, row.stream_id, row.source_hash), row) for row in rows], deleted

    def retire_partitions(self, view_set: str, instance_id: str, time_range: TimeRange) -> list[PartitionRow]:
        """Drop the rows of the partitions that overlap a time range; the caller deletes their files."""
        table = _partitions.c
        statement = _select_partitions().where(
            table.view_set == view_set,
            table.instance_id == instance_id,
            table.begin_time <= time_range.end_ns,
            table.end_time >= time_range.begin_ns,
        )
        with self._write() as connection:
            rows: list[PartitionRow] = _rows(connection, statement, PartitionRow)
            _delete_partitions(connection, rows)
        return rows

    def forget_partition(self, row: PartitionRow) -> None:
        """Drop the row of a partition whose file is lost or unreadable."""
        with self._write() as connection:
            _delete_partitions(connection, [row])

    # How it is done.

    def _create_tables(self) -> None:
        for attempt in range(10):
            try:
                with self._write() as connection:
                    _TABLES.create_all(connection)
                return
            except (sa.exc.ProgrammingError, sa.exc.IntegrityError, sa.exc.OperationalError):
                # Another server creates the same tables at this moment.
                if attempt == 9:
                    raise
                time.sleep(0.1 * (attempt + 1))

    def _put_descriptions(self, table: sa.Table, noun: str, fixed: Collection[str], rows: Sequence[Any]) -> None:
        """Insert or update rows keyed by `<noun>_id`, refusing a change to the fixed columns."""
        if not rows:
            return
        key = f"{noun}_id"
        with self._write() as connection:
            for row in sorted(rows, key=lambda row: str(getattr(row, key))):
                values = vars(row)
                insert = self._insert(table).values(**values)
                changed = {name: insert.excluded[name] for name in values if name not in (key, "insert_time", *fixed)}
                connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=changed))
            stored = sa.select(table).where(table.c[key].in_([getattr(row, key) for row in rows]))
            found = {mapping[key]: mapping for mapping in _mappings(connection, stored)}
            for row in rows:
                for name in fixed:
                    was, came = found[getattr(row, key)][name], getattr(row, name)
                    if was != came:
                        raise InvalidTelemetry(
                            f"{noun} {getattr(row, key)!r} is stored already with {name} {was!r}, given: {came!r}"
                        )

    def _lock_streams(self, connection: sa.Connection, stream_ids: Collection[str]) -> None:
        """Let nobody else change what hangs on these streams until the transaction ends, or two servers could each
        commit what the other one's commit rules out. In a fixed order, so that they never wait for one another."""
        if self._engine.dialect.name == "sqlite":
            return  # It has one writer at a time.
        statement = sa.select(_streams.c.stream_id).where(_streams.c.stream_id.in_(sorted(stream_ids)))
        connection.execute(statement.order_by(_streams.c.stream_id).with_for_update()).all()

    def _rows(self, statement: sa.Select[Any], row_type: type[Any]) -> list[Any]:
        with self._read() as connection:
            return _rows(connection, statement, row_type)

    def _scan(self, statement: sa.Select[Any], row_type: type[Any], piece_rows: int = 4096) -> Iterator[list[Any]]:
        with self._read() as connection:
            result = connection.execution_options(yield_per=piece_rows).execute(statement)
            for piece in result.partitions():
                yield [row_type(*row) for row in piece]

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that changes something; it has reached the disk at its end, unless that does not matter."""
        options = {"flightsrv_write": True, "flightsrv_durable": durable}
        with self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection


def _pieces(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while piece := list(islice(remaining, _CLAUSES_PER_STATEMENT)):
        yield piece


def _blocks_between(extents: Iterable[tuple[str, tuple[int, int]]]) -> sa.Select[tuple[str, int, int, str]]:
    """Stream, first event, event after the last, and id of the blocks that touch these stretches of streams."""
    table = _blocks.c
    end_offset = table.object_offset + table.nb_objects
    return sa.select(table.stream_id, table.object_offset, end_offset, table.block_id).where(
        sa.or_(
            *(
                sa.and_(table.stream_id == stream_id, table.object_offset < high, end_offset > low)
                for stream_id, (low, high) in extents
            )
        )
    )


def _rows(connection: sa.Connection, statement: sa.Select[Any], row_type: type[Any]) -> list[Any]:
    return [row_type(*row) for row in connection.execute(statement)]


def _mappings(connection: sa.Connection, statement: sa.Select[Any]) -> list[Mapping[str, Any]]:
    return [dict(mapping) for mapping in connection.execute(statement).mappings()]


def _select_partitions() -> sa.Select[Any]:
    return sa.select(*_PARTITION_COLUMNS)


def _same_source(row: PartitionRow) -> sa.ColumnElement[bool]:
    table = _partitions.c
    return sa.and_(
        table.view_set == row.view_set, table.stream_id == row.stream_id, table.source_hash == row.source_hash
    )


def _delete_partitions(connection: sa.Connection, rows: Sequence[PartitionRow]) -> None:
    identities = [row.partition_id for row in rows]
    if identities:
        connection.execute(sa.delete(_partitions).where(_partitions.c.partition_id.in_(identities)))


def _check_overlaps(connection: sa.Connection, rows: Sequence[BlockRow]) -> None:
    """Events of a stream are stored once: no two blocks may hold the same ordinals."""
    if not rows:
        return
    spans: dict[str, tuple[int, int]] = {}
    for row in rows:
        low, high = spans.get(row.stream_id, (row.object_offset, row.end_offset))
        spans[row.stream_id] = (min(low, row.object_offset), max(high, row.end_offset))
    extents: list[tuple[Any, ...]] = []
    for some in _pieces(spans.items()):
        extents += [tuple(row) for row in connection.execute(_blocks_between(some))]
    extents += [(row.stream_id, row.object_offset, row.end_offset, row.block_id) for row in rows]
    extents.sort()
    for before, after in pairwise(extents):
        if before[0] == after[0] and after[1] < before[2]:
            raise InvalidTelemetry(
                f"blocks {before[3]!r} and {after[3]!r} of stream {before[0]!r} overlap: events {before[1]} to "
                f"{before[2] - 1} and {after[1]} to {after[2] - 1}, expected each event in one block"
            )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # SQLAlchemy begins transactions below; the driver's own implicit ones would begin too late.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "busy_timeout=60000", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes its lock at once: upgrading a read lock fails when another writer was faster.
    options = connection.get_execution_options()
    if options.get("flightsrv_write", False):
        durable = options["flightsrv_durable"]
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")
