"""How queries are run; the same for all queries of a server."""

from dataclasses import dataclass

from udtf.lake.settings import MIB

MIN_CHUNK_BYTES = 64 << 10
MAX_CHUNK_BYTES = 2 << 20
MIN_QUERY_MEMORY_BYTES = 64 * MIB


@dataclass(frozen=True)
class QuerySettings:
    """Limits and sizes.

    Attributes:
        max_scans: most partitions that one query reads at once; by default as suits the
            store (`Lake.concurrency`).
        chunk_bytes: about how large the chunks of a trace are.
        memory_bytes: memory of all queries together that sort, join or aggregate. As many of them run at once as have
            `query_memory_bytes` in it, one at least; others wait.
        query_memory_bytes: memory that one of them has.
        query_spill_bytes: disk that one of them has beyond that, in the system's folder for temporary files.
        max_wait_s: how long one of them waits for others.
    """

    max_scans: int | None = None
    chunk_bytes: int = 1 << 20
    memory_bytes: int = 2048 * MIB
    query_memory_bytes: int = 256 * MIB
    query_spill_bytes: int = 1024 * MIB
    max_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if self.max_scans is not None and self.max_scans < 1:
            raise ValueError(f"max_scans must be 1 or more, given: {self.max_scans}")
        if not MIN_CHUNK_BYTES <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes must be {MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES}, given: {self.chunk_bytes}")
        if self.query_memory_bytes < MIN_QUERY_MEMORY_BYTES:
            raise ValueError(
                f"query_memory_bytes must be {MIN_QUERY_MEMORY_BYTES} or more, given: {self.query_memory_bytes}"
            )

    @property
    def max_computing(self) -> int:
        """How many queries that sort, join or aggregate may run at once."""
        return max(1, self.memory_bytes // self.query_memory_bytes)
