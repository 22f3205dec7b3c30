"""How a lake uses its object store, its database, and memory. Sizes are bytes, times seconds."""

import re
from dataclasses import dataclass, field

MIB = 1 << 20

BUILDERS = re.compile(r"threads|processes|dask(\+tls)?://[^/\s]+:\d+")


@dataclass(frozen=True)
class StoreSettings:
    """How the object store is asked.

    Attributes:
        max_requests: most requests under way at once.
        max_tries, max_tries_s: how often, and until when, a request is tried that fails in a way that passes.
        first_pause_s, max_pause_s: bound on the random pause before the second try, doubled for each later one, and
            on all of them.
    """

    max_requests: int = 64
    max_tries: int = 10
    max_tries_s: float = 30.0
    first_pause_s: float = 0.1
    max_pause_s: float = 5.0

    def __post_init__(self) -> None:
        _check_positive("max_requests", self.max_requests)
        _check_positive("max_tries", self.max_tries)


@dataclass(frozen=True)
class CacheSettings:
    """What is kept in memory of partitions.

    Attributes:
        file_bytes: all files together; those of a local folder the operating system keeps in memory already.
        max_file_bytes: a file larger than that is not kept.
        row_bytes: all decoded rows together; those of a query that reads more are not kept.
        index_bytes: all decoded indexes of stretches together.
    """

    file_bytes: int = 500 * MIB
    max_file_bytes: int = 20 * MIB
    row_bytes: int = 64 * MIB
    index_bytes: int = 16 * MIB


TRACE_GENERATION = CacheSettings(file_bytes=1024 * MIB, max_file_bytes=50 * MIB)
"""For a server that mostly makes traces of large processes."""


@dataclass(frozen=True)
class DatabaseSettings:
    """How the metadata database is asked.

    Attributes:
        max_connections: most connections that are open at once.
        max_wait_s: how long a statement may wait until one is free.
    """

    max_connections: int = 8
    max_wait_s: float = 30.0

    def __post_init__(self) -> None:
        _check_positive("max_connections", self.max_connections)


@dataclass(frozen=True)
class LakeSettings:
    """All of it.

    Attributes:
        max_builds: most partitions built at once; by default as suits the store.
        builders: what builds partitions: `threads` of this process, as many other `processes` of this machine, or the
            workers of a Dask scheduler, `dask://host:port`, `dask+tls://host:port`.
        nb_processes: how many processes of this machine do the work together, of which this is one.
    """

    max_builds: int | None = None
    builders: str = "threads"
    nb_processes: int = 1
    store: StoreSettings = field(default_factory=StoreSettings)
    caches: CacheSettings = field(default_factory=CacheSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)

    def __post_init__(self) -> None:
        _check_positive("nb_processes", self.nb_processes)
        if self.max_builds is not None:
            _check_positive("max_builds", self.max_builds)
        if not BUILDERS.fullmatch(self.builders):
            raise ValueError(f"builders must be threads, processes or dask://host:port, given: {self.builders!r}")


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, given: {value}")
