"""The processes of a fleet. Each is in a session of its own, so that Ctrl-C at a terminal reaches none of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stores import s3_access
from tests.support.debian import find_program
from tests.support.ports import free_port, free_ports
from tests.support.postgresql import PostgresqlCluster

TIMEOUT_S = 120.0
BUCKET = "fleet"


class FleetFailed(Exception):
    """A part did not start, or did not do what it should."""


class Part:
    """A process that runs a module of Python, and logs into a file.

    Attributes:
        name: what it is called in messages.
        log: the file, which has what it prints as well.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self._command = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        """Start it, once more if it has ended."""
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self._environment,
                start_new_session=True,
            )

    def said(self, pattern: str) -> str:
        """Wait until it has said something since its start; returns the first group of the pattern.

        Raises:
            FleetFailed: it ended before, or does not say it.
        """
        end_s = time.monotonic() + TIMEOUT_S
        while True:
            has_ended = self.process.poll() is not None
            found = re.search(pattern, self.log.read_bytes()[self._begin :].decode(errors="replace"))
            if found:
                return found[1]
            if has_ended or time.monotonic() > end_s:
                raise FleetFailed(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where it does not end in time."""
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def stopping(parts: Sequence[Part]) -> Iterator[None]:
    """For the length of a `with` block, parts run; they are stopped together."""
    try:
        yield
    finally:
        for part in parts:
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGTERM)
        for part in parts:
            part.stop()


@contextmanager
def postgresql() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database."""
    program = find_program("postgresql")
    if program is None:
        raise FleetFailed("needs Debian's package postgresql: apt-get install postgresql")
    cluster = PostgresqlCluster(program.parent)
    try:
        cluster.start()
        yield cluster.make_database()
    finally:
        cluster.stop()


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    """The variables by which clients of S3 find a simulator of it, which has the bucket BUCKET."""
    part = Part("s3", folder, {}, "benchmarks.s3_server")
    with stopping([part]):
        access, client = s3_access(part.said(r"listening on (\S+)"))
        client.create_bucket(Bucket=BUCKET)
        yield access


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and its workers.

    Attributes:
        builders: its address, as `--builders` takes it.
    """

    builders: str
    scheduler: Part
    workers: Sequence[Part]

    def start(self) -> None:
        """Start what has ended. Workers end with their scheduler."""
        if self.scheduler.process.poll() is not None:
            for worker in self.workers:
                worker.stop()
            self.scheduler.start()
            self.scheduler.said(r"(Scheduler at:)")
        ended = [worker for worker in self.workers if worker.process.poll() is not None]
        for worker in ended:
            worker.start()
        for worker in ended:
            worker.said(r"(Registered to)")


@contextmanager
def dask(folder: Path, environment: Mapping[str, str], nb_workers: int) -> Iterator[Cluster]:
    """A scheduler with workers, each at the same address also when it is started again."""
    address = f"127.0.0.1:{free_port()}"
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    port = address.partition(":")[2]
    scheduler = Part("dask scheduler", folder, {}, "distributed.cli.dask_scheduler", *options, "--port", port)
    with stopping([scheduler]):
        scheduler.said(r"(Scheduler at:)")
        options += ["--no-nanny", "--nthreads", "1", "--local-directory", str(folder)]
        workers = [
            Part(
                f"dask worker {number}",
                folder,
                environment,
                "distributed.cli.dask_worker",
                f"tcp://{address}",
                *options,
            )
            for number in range(1, nb_workers + 1)
        ]
        with stopping(workers):
            for worker in workers:
                worker.said(r"(Registered to)")
            yield Cluster(f"dask://{address}", scheduler, workers)


class Server(Part):
    """`flightsrv serve`, at the same addresses also when it is started again.

    Attributes:
        url, http_url: those addresses.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        port, http_port = free_ports(2)
        self.url = f"grpc://127.0.0.1:{port}"
        self.http_url = f"http://127.0.0.1:{http_port}"
        ports = ["--port", str(port), "--http-port", str(http_port)]
        super().__init__(name, folder, environment, "flightsrv", "serve", *ports, *options)

    def wait_until_ready(self) -> None:
        """Raises FleetFailed if it does not start."""
        self.said(r"(listening on)")


@dataclass(frozen=True)
class Recorded:
    """What a program has recorded, by its own count."""

    process_id: str
    spans: int
    unsent: int


class Program(Part):
    """A program that is traced."""

    def __init__(self, name: str, folder: Path, server_url: str) -> None:
        variables = {"FLIGHTSRV_SPOOL": str(folder / "spool")}
        super().__init__(name, folder, variables, "tests.fleet.program", server_url, name)

    def recorded(self) -> Recorded:
        """To be asked when it was told to stop."""
        return Recorded(**json.loads(self.said(r"(?m)^(\{.*\})$")))
