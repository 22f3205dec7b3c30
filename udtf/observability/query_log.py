"""The last queries and ingestions that ended, kept in memory: their users, statements, and what they took."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

MAX_RECORDS = 10_000
MAX_STATEMENT_CHARS = 2000


@dataclass(frozen=True)
class QueryRecord:
    """One query or ingestion that ended.

    Attributes:
        user: the name of the token that it came with; empty where none is asked for.
        peer: the address that it came from.
        kind: 'query' or 'ingestion'.
        statement: its text, of at most MAX_STATEMENT_CHARS.
        begin_ns: when it arrived, nanoseconds since the Unix epoch.
        duration_ns: until the end of its stream.
        nb_rows, size_bytes: what left, or came by ingestion.
        outcome: 'ok', 'failed' or 'cancelled', which a client does that leaves as well.
        error: the kind of failure; None where there was none.
        memory_bytes: by how much the memory of the process that computed it rose, if there was one, and that of the
            server, as far as was seen when rows left. What others took there at the same time is in it.
    """

    query_id: str
    user: str
    peer: str
    kind: str
    statement: str
    begin_ns: int
    duration_ns: int
    nb_rows: int
    size_bytes: int
    outcome: str
    error: str | None
    memory_bytes: int


class QueryLog:
    """The records of the last MAX_RECORDS, those that ended first in front. Safe to use from many threads."""

    def __init__(self, max_records: int = MAX_RECORDS) -> None:
        self._records: deque[QueryRecord] = deque(maxlen=max_records)

    def add(self, record: QueryRecord) -> None:
        """Keep a record, and forget the oldest one if there are too many."""
        self._records.append(record)

    def records(self) -> Sequence[QueryRecord]:
        """What is kept at this moment."""
        return tuple(self._records.copy())
