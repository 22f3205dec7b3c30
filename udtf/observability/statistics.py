"""What parts of a lake count for themselves, for metrics."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheStatistics:
    """Counts since the cache was made, and what it holds now. A reader that waited for another's load is a hit."""

    hits: int
    misses: int
    entries: int
    size_bytes: int


@dataclass(frozen=True)
class StoreStatistics:
    """Counts since the store was made. Every try is a request; a retry is one that follows a failure."""

    requests: int = 0
    retries: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
