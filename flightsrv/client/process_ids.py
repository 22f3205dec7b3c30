"""Process ids by their first characters, and with those of children."""

from collections.abc import Callable, Sequence

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

DESCENDANTS = """
    WITH RECURSIVE descendants AS (
        SELECT process_id FROM processes WHERE parent_process_id = $1
        UNION
        SELECT child.process_id
        FROM processes AS child JOIN descendants ON child.parent_process_id = descendants.process_id
    )
"""
"""What a statement begins with that asks for the processes below one: each once, whatever they say of their parents."""

_BELOW = f"""
    {DESCENDANTS}
    SELECT process_id FROM processes WHERE process_id IN (SELECT process_id FROM descendants)
    ORDER BY start_time, process_id
"""


def with_children(query: Callable[[str, list[str]], pa.Table], process_ids: Sequence[str]) -> list[str]:
    """These processes, then those that they started, that these started, and so on, in the order of their starts; each
    once. What is given may be the first characters of an id; what is unknown stays as it is.

    Args:
        query: runs a statement with parameters.

    Raises:
        InvalidRequest: several ids begin as one that was given.
    """
    whole = [whole_process_id(query, prefix) or prefix for prefix in process_ids]
    below = [row for process_id in whole for row in query(_BELOW, [process_id])["process_id"].to_pylist()]
    return list(dict.fromkeys([*whole, *below]))


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
