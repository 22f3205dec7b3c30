"""How queries are run; the same for all queries of a server."""

from dataclasses import dataclass

MIN_CHUNK_BYTES = 64 << 10
MAX_CHUNK_BYTES = 2 << 20


@dataclass(frozen=True)
class QuerySettings:
    """Limits and sizes.

    Attributes:
        max_scans: most threads of a traced process that one query reads and encodes at once; by default as suits the
            store (`Lake.concurrency`).
        chunk_bytes: about how large the chunks of a trace are.
    """

    max_scans: int | None = None
    chunk_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if self.max_scans is not None and self.max_scans < 1:
            raise ValueError(f"max_scans must be 1 or more, given: {self.max_scans}")
        if not MIN_CHUNK_BYTES <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes must be {MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES}, given: {self.chunk_bytes}")
