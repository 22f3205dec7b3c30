"""What the engine says to a worker about one statement, and the rows that come of it."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from udtf.errors import InvalidArgument, LimitExceeded, Overloaded
from udtf.execution.cancellation import POLL_SECONDS
from udtf.functions.settings import MIB, QuerySettings
from udtf.sql.lake_tables import LakeTables
from udtf.sql.messages import Ended, Failed, Plan, Planned, Rows, Run, ScanWanted, TableWanted
from udtf.sql.panics import EnginePanic
from udtf.sql.tables import PlannedTable, TableScan
from udtf.workers.channel import Channel
from udtf.workers.pool import Worker

log = logging.getLogger(__name__)

MAX_PLAN_SECONDS = 10.0
"""How long it may take to plan a statement."""

MAX_SCANS = 64
"""Most tables that a statement may read; each takes a thread while it is read."""


class Conversation:
    """With one worker, about one statement.

    Whatever it raises, it raises for one of these reasons:
        QueryCancelled: the cancellation of the tables said so.
        InvalidArgument: the statement is none, does not fit the tables, would change something, or failed on the rows.
        LimitExceeded: it took more memory, disk or tables than it may.
        Overloaded: the system ended the worker, or gives no room for its files.
        EnginePanic: DataFusion broke off.
        Exception: what went wrong with a table.
    """

    def __init__(self, worker: Worker, tables: LakeTables, settings: QuerySettings) -> None:
        self._worker = worker
        self._tables = tables
        self._settings = settings
        self._nb_scans = 0

    def plan(self, wanted: Plan) -> Planned:
        """Have a statement planned."""
        end_s = time.monotonic() + MAX_PLAN_SECONDS
        self._worker.is_idle = False
        try:
            self._worker.channel.send(wanted)
            while True:
                while not self._has_said_something():
                    if time.monotonic() > end_s:
                        raise InvalidArgument(
                            f"the statement takes more than {MAX_PLAN_SECONDS:g} s to plan; write it shorter, "
                            "with fewer operators and joins, and IN (...) to compare with many values"
                        )
                match self._worker.channel.receive():
                    case TableWanted() as table:
                        self._worker.channel.send(self._planned_table(table))
                    case Planned() as planned:
                        self._worker.is_idle = True
                        return planned
                    case Failed() as failed:
                        raise self._failure(failed)
        except (EOFError, OSError) as error:
            raise self._death(
                InvalidArgument("the statement ended the process that planned it, as one does that nests too deeply")
            ) from error

    def run(self) -> Iterator[pa.RecordBatch | None]:
        """The rows of the statement that was planned last; None where there was none for a while.

        To be read to its end, or what the worker does goes on until the worker is killed.
        """
        self._worker.is_idle = False
        try:
            self._worker.channel.send(Run())
            while True:
                if not self._has_said_something():
                    yield None
                    continue
                match self._worker.channel.receive():
                    case ScanWanted(scan):
                        self._begin_scan(scan)
                    case Rows():
                        rows = self._worker.channel.receive_rows()
                        self._check_tables()
                        yield rows
                    case Ended():
                        self._check_tables()
                        self._worker.is_idle = True
                        return
                    case Failed() as failed:
                        raise self._failure(failed)
        except (EOFError, OSError) as error:
            raise self._death(EnginePanic("the process that ran the statement has ended")) from error

    def _has_said_something(self) -> bool:
        """Whether the worker has, before long."""
        self._tables.cancellation.check()
        return self._worker.channel.poll(POLL_SECONDS)

    def _planned_table(self, wanted: TableWanted) -> PlannedTable | None:
        try:
            return self._tables.plan(wanted.function, wanted.values)
        except Exception:
            return None  # the tables know why

    def _begin_scan(self, scan: TableScan) -> None:
        self._nb_scans += 1
        if self._nb_scans > MAX_SCANS:
            raise InvalidArgument(f"a statement may read {MAX_SCANS} tables")
        arguments = (self._tables, scan, Channel(self._worker.channel.receive_socket()))
        threading.Thread(target=_send_scan, args=arguments, name="scan", daemon=True).start()

    def _check_tables(self) -> None:
        """Rows of a table that failed look complete to whoever read them."""
        if self._tables.error is not None:
            raise self._tables.error

    def _failure(self, failed: Failed) -> Exception:
        self._worker.is_idle = failed.why == "statement"
        if self._tables.error is not None:
            return self._tables.error
        if failed.why == "limit":
            return self._limit_exceeded()
        if failed.why == "system":
            log.error("temporary files of a statement cannot be written: %s", failed.message)
            return Overloaded("the server has no room for temporary files at this moment; try again later")
        return EnginePanic(failed.message) if failed.why == "panic" else InvalidArgument(failed.message)

    def _death(self, otherwise: Exception) -> Exception:
        """Why there is nobody at the other end of the channel."""
        if self._tables.error is not None:
            return self._tables.error
        self._tables.cancellation.check()
        if self._worker.is_too_large:
            return self._limit_exceeded()
        if self._worker.has_crashed:
            return otherwise
        return Overloaded(
            "the process that worked at the statement was ended from outside, as systems do that are short of memory, "
            "or could not begin; try again in a moment"
        )

    def _limit_exceeded(self) -> LimitExceeded:
        return LimitExceeded(
            f"the query needs more than the {self._settings.query_memory_bytes // MIB} MiB of memory and "
            f"{self._settings.query_spill_bytes // MIB} MiB of disk that it may use; look at less time, filter before "
            "joining or sorting, or select fewer columns"
        )


def _send_scan(tables: LakeTables, scan: TableScan, reader: Channel) -> None:
    """Send the rows of a scan as fast as they are read, until their reader has left. The tables note what fails."""
    try:
        with closing(reader), closing(tables.scan(scan)) as batches:
            for batch in batches:
                if batch.num_rows:
                    reader.send_rows(batch)
            reader.end_rows()
    except ConnectionError:
        pass
    except Exception as error:
        tables.note(error)
