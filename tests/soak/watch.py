"""What a server takes, looked at from outside."""

from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Taken:
    """At one moment, by the server and the processes that it has made.

    Attributes:
        memory_bytes: resident in the server.
        worker_bytes: what its workers have for themselves.
    """

    threads: int
    files: int
    processes: int
    memory_bytes: int
    worker_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.threads} threads, {self.files} file descriptors, {self.processes} processes, "
            f"{self.memory_bytes >> 20} MiB, {self.worker_bytes >> 20} MiB of workers"
        )


def look(pid: int) -> Taken:
    """What it takes now."""
    server = psutil.Process(pid)
    workers = server.children(recursive=True)
    worker_bytes = 0
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker_bytes += worker.memory_full_info().uss
    return Taken(
        server.num_threads(), server.num_fds(), 1 + len(workers), int(server.memory_info().rss), int(worker_bytes)
    )


def most(several: list[Taken]) -> Taken:
    """The most of each."""
    return Taken(*(max(values) for values in zip(*(vars(taken).values() for taken in several), strict=True)))
