"""Connections and transactions, on SQLite and PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from udtf.errors import CorruptData, StoreFull, StoreRefused, StoreUnavailable
from udtf.lake.metadata.rows import Row
from udtf.lake.metadata.versions import is_current, prepare
from udtf.lake.settings import DatabaseSettings

T = TypeVar("T")


class Database:
    """A bounded pool of connections to a database that has our tables. Safe to use from many threads.

    Args:
        url: an SQLAlchemy URL, `sqlite:///FILE` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        self._settings = settings
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        # Readers of tables take as long as they like, and must not take all connections.
        self._max_scans = max(1, settings.max_connections // 2)
        self._scans = threading.BoundedSemaphore(self._max_scans)
        self._engine = sa.create_engine(
            parsed,
            pool_size=settings.max_connections,
            max_overflow=0,
            pool_timeout=settings.max_wait_s,
            pool_pre_ping=parsed.host is not None,
        )
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self.insert: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        if self.is_sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._create_tables()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to read from."""
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that changes something; it has reached the disk at its end, unless that does not matter."""
        options = {"flightsrv_write": True, "flightsrv_durable": durable}
        with (
            self._explained(),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def scan(
        self, statement: sa.Select[Any], make_row: Callable[[Any], T], piece_rows: int = 4096
    ) -> Iterator[list[T]]:
        """All rows of a statement, in pieces, over a connection that is held until the last one is read."""
        if not self._scans.acquire(timeout=self._settings.max_wait_s):
            raise StoreUnavailable(
                f"{self._max_scans} scans of metadata tables are running, as many as are allowed at once, and none "
                f"ended for {self._settings.max_wait_s:g} s"
            )
        try:
            with self.read() as connection:
                result = connection.execution_options(yield_per=piece_rows).execute(statement)
                for piece in result.partitions():
                    yield [make_row(row) for row in piece]
        finally:
            self._scans.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Failures of the database that pass, in our words."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise StoreUnavailable(
                f"all {self._settings.max_connections} connections to the metadata database were in use "
                f"for {self._settings.max_wait_s:g} s"
            ) from error
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
            raise _translated(error) from error
        except sa.exc.DatabaseError as error:
            if _error_name(error).startswith(_DAMAGED):
                raise CorruptData("the metadata database is damaged") from error
            raise

    def _create_tables(self) -> None:
        for attempt in range(10):
            try:
                with self.read() as connection:
                    current = is_current(connection)
                if not current:
                    with self.write() as connection:
                        prepare(connection)
                return
            except (sa.exc.ProgrammingError, sa.exc.IntegrityError, StoreUnavailable):
                # Another server may create the same tables at this moment.
                if attempt == 9:
                    raise
                time.sleep(0.1 * (attempt + 1))


def rows_of(connection: sa.Connection, statement: sa.Select[Any], row_type: type[Row]) -> list[Any]:
    """All rows of a statement within a transaction."""
    return [row_type.from_database(row) for row in connection.execute(statement)]


_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")


def _error_name(error: sa.exc.DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", "") or getattr(error.orig, "sqlstate", None) or ""


def _translated(error: sa.exc.DBAPIError) -> Exception:
    """What a failure of the database means, by the codes of SQLite and the classes of PostgreSQL."""
    name = _error_name(error)
    if name.startswith("SQLITE_FULL") or name == "53100":
        return StoreFull("the metadata database has no room left")
    if name.startswith("SQLITE_READONLY") or name == "25006":
        return StoreRefused("the metadata database is read-only")
    return StoreUnavailable("the metadata database does not answer as it should")


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
