"""The blocks of a process, kept in memory between queries.

Hours of recording are tens of thousands of rows, and all but the newest are known already. Blocks never change and are
never removed, so only their number can be out of date.
"""

from udtf.lake.cache import ByteBoundedCache
from udtf.lake.metadata import BlockRow, MetadataStore

MARGIN_NS = 60_000_000_000
"""How long after its insert time a row may become visible: a slow commit, or a server whose clock is behind."""

ROW_BYTES = 1000
"""Memory that a row takes, about."""


class BlockIndex:
    """Safe to use from many threads."""

    def __init__(self, metadata: MetadataStore, *, max_bytes: int = 100 << 20) -> None:
        self._metadata = metadata
        self._known: ByteBoundedCache[str, list[BlockRow]] = ByteBoundedCache(
            max_bytes, max_bytes, lambda rows: ROW_BYTES * (1 + len(rows))
        )

    def blocks_of(self, process_id: str) -> list[BlockRow]:
        """All blocks of a process, stream by stream in the order of their events."""
        known = self._known.peek(process_id)
        if known:
            newest_ns = max(row.insert_time for row in known)
            recent, count = self._metadata.recent_blocks_of(process_id, newest_ns - MARGIN_NS)
            rows = {row.block_id: row for row in known}
            rows.update((row.block_id, row) for row in recent)
            if len(rows) == len(known) == count:
                return known
            if len(rows) == count:
                return self._keep(process_id, sorted(rows.values(), key=lambda row: (row.stream_id, row.object_offset)))
        return self._keep(process_id, self._metadata.blocks_of(process_id))

    def _keep(self, process_id: str, rows: list[BlockRow]) -> list[BlockRow]:
        self._known.put(process_id, rows)
        return rows
