"""What the engine says to a worker about one statement, and the rows that come of it."""

import logging
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import pyarrow as pa

from udtf.errors import InvalidArgument, LimitExceeded, Overloaded
from udtf.execution.cancellation import POLL_SECONDS
from udtf.functions.settings import QuerySettings
from udtf.lake.settings import MIB
from udtf.sql.lake_tables import LakeTables
from udtf.sql.messages import (
    Ended,
    Failed,
    Plan,
    Planned,
    Reply,
    Rows,
    Run,
    ScanWanted,
    TableRefused,
    TableWanted,
    batch_bytes,
    decode_reply,
    encode,
)
from udtf.sql.panics import EnginePanic
from udtf.sql.tables import PlannedTable, TableScan
from udtf.workers.channel import Channel, MalformedMessage
from udtf.workers.pool import Worker

log = logging.getLogger(__name__)

MAX_PLAN_SECONDS = 10.0
"""How long it may take to plan a statement."""

MAX_SCANS = 64
"""Most tables that a statement may read; each takes a thread while it is read."""

MAX_CALLS = 256
"""Most calls of table functions in a statement."""

AHEAD_BYTES = 4 << 20
"""Rows that may be on their way, as far as the system allows: with less, the sender waits for the reader, batch by
batch, and a million rows take twice as long."""


class WorkerClient:
    """Has one worker plan and run one statement. The worker is not trusted: whatever it sends, nothing but the
    statement fails.

    Raises, in all of its methods:
        QueryCancelled: the cancellation of the tables said so.
        InvalidArgument: the statement is none, does not fit the tables, would change something, or failed on the rows.
        LimitExceeded: it took more memory, disk or tables than it may.
        Overloaded: the system ended the worker, or gives no room for its files.
        EnginePanic: DataFusion broke off, or the worker sent what it never should.
        Exception: what went wrong with a table.
    """

    def __init__(self, worker: Worker, tables: LakeTables, settings: QuerySettings) -> None:
        self._worker = worker
        self._tables = tables
        self._settings = settings
        self._nb_calls = 0
        self._scans: list[Channel] = []
        worker.channel.check = tables.cancellation.check

    def plan(self, wanted: Plan) -> Planned:
        """Have a statement planned. Until the worker plans another one, it has this one `prepared`."""
        end_s = time.monotonic() + MAX_PLAN_SECONDS
        self._worker.is_idle = False
        self._worker.prepared = None
        try:
            self._worker.channel.send(*encode(wanted))
            while True:
                while not self._has_said_something():
                    if time.monotonic() > end_s:
                        raise InvalidArgument(
                            f"the statement takes more than {MAX_PLAN_SECONDS:g} s to plan; write it shorter, "
                            "with fewer operators and joins, and IN (...) to compare with many values"
                        )
                match self._receive():
                    case TableWanted() as table:
                        self._worker.channel.send(*encode(self._planned_table(table)))
                    case Planned() as planned:
                        self._worker.is_idle = True
                        self._worker.prepared = planned
                        return planned
                    case Failed() as failed:
                        raise self._failure(failed)
                    case reply:
                        raise MalformedMessage(f"{type(reply).__name__} while a statement is planned")
        except MalformedMessage as error:
            raise self._misbehaviour(error) from error
        except (EOFError, OSError) as error:
            raise self._death(
                InvalidArgument("the statement ended the process that planned it, as one does that nests too deeply")
            ) from error

    def run(self, planned: Planned) -> Iterator[pa.RecordBatch | None]:
        """The rows of the statement that was planned last; None where there was none for a while.

        To be read to its end, or what the worker does goes on until the worker is killed.
        """
        self._worker.is_idle = False
        self._worker.prepared = None
        try:
            self._worker.channel.send(*encode(Run()))
            while True:
                if not self._has_said_something():
                    yield None
                    continue
                match self._receive():
                    case ScanWanted(scan):
                        self._begin_scan(scan)
                    case Rows(batch):
                        self._check_tables()
                        if batch.schema.types != planned.schema.types:
                            raise MalformedMessage("rows of other types than were planned")
                        yield batch
                    case Ended():
                        self._check_tables()
                        self._worker.is_idle = True
                        return
                    case Failed() as failed:
                        raise self._failure(failed)
                    case reply:
                        raise MalformedMessage(f"{type(reply).__name__} while a statement runs")
        except MalformedMessage as error:
            raise self._misbehaviour(error) from error
        except (EOFError, OSError) as error:
            raise self._death(EnginePanic("the process that ran the statement has ended")) from error
        finally:
            for reader in self._scans:
                reader.hang_up()

    def _receive(self) -> Reply:
        return decode_reply(self._worker.channel.receive(self._worker.max_bytes), self._worker.max_bytes)

    def _has_said_something(self) -> bool:
        """Whether the worker has, before long."""
        self._tables.cancellation.check()
        return self._worker.channel.poll(POLL_SECONDS)

    def _planned_table(self, wanted: TableWanted) -> PlannedTable | TableRefused:
        self._nb_calls += 1
        if self._nb_calls > MAX_CALLS:
            raise InvalidArgument(f"a statement may call {MAX_CALLS} table functions")
        try:
            return self._tables.plan(wanted.function, wanted.values)
        except Exception:
            return TableRefused()  # the tables know why

    def _begin_scan(self, scan: TableScan) -> None:
        batches = self._tables.scan(scan)
        if len(self._scans) == MAX_SCANS:
            raise InvalidArgument(f"a statement may read {MAX_SCANS} tables")
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD_BYTES)
        with theirs:
            self._worker.channel.send_socket(theirs)
        reader = Channel(ours, self._tables.cancellation.check)
        self._scans.append(reader)
        arguments = (self._tables, batches, reader)
        threading.Thread(target=_send_scan, args=arguments, name="scan", daemon=True).start()

    def _check_tables(self) -> None:
        """Rows of a table that failed look complete to their reader."""
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

    def _misbehaviour(self, error: MalformedMessage) -> Exception:
        """The worker is not to be used again (`is_idle` is False)."""
        log.error("a worker sent what is no message: %s", error)
        return EnginePanic("the process that worked at the statement sent what cannot be read")

    def _death(self, otherwise: Exception) -> Exception:
        """Why the worker has hung up."""
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


def _send_scan(tables: LakeTables, batches: Generator[pa.RecordBatch, None, None], reader: Channel) -> None:
    """Send the rows of a scan as fast as they are read, until their reader has left. The tables note what fails."""
    try:
        with closing(reader), closing(batches):
            for batch in batches:
                if batch.num_rows:
                    reader.send(batch_bytes(batch))
            reader.send()
    except ConnectionError:
        pass
    except Exception as error:
        tables.note(error)
