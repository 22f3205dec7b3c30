"""A real PostgreSQL: one cluster per test session, reached by a Unix socket, and a fresh database per test.

Tests that use it carry the marker `postgresql` of themselves.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.support.debian import program_or_skip

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # What is written is forgotten with the test session anyway.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresqlCluster:
    """A running cluster in a folder of its own."""

    def __init__(self, programs: Path) -> None:
        # PostgreSQL refuses to run as root, and its user cannot enter folders that pytest makes.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="flightsrv-postgresql-"))
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Make the cluster and wait until it answers."""
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self.resume()

    def resume(self) -> None:
        """Start it again after `crash`."""
        settings = {**SETTINGS, "unix_socket_directories": self._folder}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={options}")

    def crash(self) -> None:
        """End all of its processes at once; nothing is written that was not yet."""
        self._run("pg_ctl", "stop", "--mode=immediate")

    def stop(self) -> None:
        """End the cluster and remove its folder."""
        try:
            self.crash()
        finally:
            shutil.rmtree(self._folder)

    def make_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        self._execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    def _execute(self, statement: psycopg.sql.Composed) -> None:
        with psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, *arguments, f"--pgdata={self._folder / 'data'}"]
        # The output goes to a file: the server inherits it, and a pipe would stay open for as long as that lives.
        with (self._folder / f"{program}.output").open("w+") as output:
            done = subprocess.run(
                command, user=self._user, group=self._user, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT
            )
            output.seek(0)
            if done.returncode != 0:
                raise RuntimeError(f"{program} failed:\n{output.read()}")


class ConnectionWatch:
    """How many others are connected to a database, looked up over and over from a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self._stopped = threading.Event()
        self.most = 0
        self.looks = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            thread = threading.Thread(target=self._look, args=(connection,))
            thread.start()
            try:
                yield
            finally:
                self._stopped.set()
                thread.join()

    def _look(self, connection: psycopg.Connection) -> None:
        others = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        while not self._stopped.wait(0.005):
            row = connection.execute(others).fetchone()
            assert row is not None
            self.most = max(self.most, row[0])
            self.looks += 1


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[PostgresqlCluster]:
    """A running cluster without databases."""
    cluster = PostgresqlCluster(program_or_skip("postgresql").parent)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def postgresql_url(postgresql_cluster: PostgresqlCluster) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, gone after the test."""
    url = postgresql_cluster.make_database()
    yield url
    postgresql_cluster.drop_database(url)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need PostgreSQL."""
    for item in items:
        if isinstance(item, pytest.Function) and "postgresql_cluster" in item.fixturenames:
            item.add_marker("postgresql")
