"""A real server in a process of its own, that can be killed."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa

from tests.support.forked import ForkedProgram
from tests.support.ports import free_port

START_TIMEOUT_SECONDS = 240


class ServerProcess:
    """`flightsrv serve` on a port of its own."""

    def __init__(
        self,
        lake_uri: str,
        db_url: str | None,
        log: Path,
        options: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.port = free_port()
        arguments = ["serve", "--lake", lake_uri, "--host", "127.0.0.1", "--port", str(self.port)]
        if db_url is not None:
            arguments += ["--db", db_url]
        self._log = log
        self.process = ForkedProgram("flightsrv", [*arguments, *options], log, environment=environment)
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self._log.read_text()}")

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """The power goes: no handler, no flush, no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and patience."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()

    @contextmanager
    def connection(self) -> Iterator[flight_sql.Connection]:
        """A client that is not ours."""
        with flight_sql.connect(self.url, autocommit=True) as connection:
            yield connection

    def query(self, sql: str) -> pa.Table:
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def ingest(self, table: str, batch: pa.RecordBatch) -> None:
        """Returns when the server has acknowledged."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(table, pa.Table.from_batches([batch]), mode="append")


@contextmanager
def running_server(
    lake_uri: str,
    db_url: str | None,
    log: Path,
    *options: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ServerProcess]:
    """The server for the length of a `with` block, with further options of the command and variables."""
    server = ServerProcess(lake_uri, db_url, log, options, environment)
    try:
        yield server
    finally:
        server.stop()
