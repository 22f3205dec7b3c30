"""Process ids by their first characters."""

from collections.abc import Callable

import pyarrow as pa

from flightsrv.client.errors import InvalidRequest

MAX_CANDIDATES = 5
"""Most processes that an error lists."""

_SQL = f"""
    SELECT process_id, exe, to_char(start_time, '%Y-%m-%d %H:%M:%S UTC') AS started
    FROM processes
    WHERE starts_with(process_id, $1)
    ORDER BY process_id = $1 DESC, start_time DESC, process_id
    LIMIT {MAX_CANDIDATES + 1}
"""


def whole_process_id(query: Callable[[str, list[str]], pa.Table], prefix: str) -> str | None:
    """The process that has this id, or the only one whose id begins so; None if there is no such process.

    Args:
        query: runs a statement with parameters.

    Raises:
        InvalidRequest: the ids of several processes begin so; the message lists those that started last.
    """
    if not prefix:
        return None
    found = query(_SQL, [prefix]).to_pylist()
    if not found:
        return None
    first: str = found[0]["process_id"]
    if first == prefix or len(found) == 1:
        return first
    candidates = [f"{row['process_id']} ({row['exe'] or 'unnamed program'}, {row['started']})" for row in found]
    if len(candidates) > MAX_CANDIDATES:
        candidates[MAX_CANDIDATES:] = ["and others"]
    raise InvalidRequest(f"several process ids begin with {prefix!r}, expected one: {', '.join(candidates)}")
