"""Telemetry out of the lake: what is too old, what is asked to go, and objects that no row names.

Rows go first, in a transaction that notes their objects as garbage; then the objects, then the notes. A crash in
between leaves notes, and the next removal goes on with them. Of a process that still runs, the oldest segments go, in
whole stretches; what they left open stays known, so that the spans that go on after them are still exact.
"""

import logging
import time
from dataclasses import dataclass

from udtf.lake.history import FAN_OUT, largest_stretches
from udtf.lake.metadata import HistoryRow, MetadataStore
from udtf.lake.objects import ObjectStore

log = logging.getLogger(__name__)

AT_ONCE = 1000
"""Keys handled by one statement."""

MIN_ORPHAN_AGE_S = 3600.0
"""Younger objects may be waiting for their row, whatever server made them."""

FOLDERS = ("segments", "views")


@dataclass(frozen=True)
class Removed:
    """What was removed, or would be: whole processes, and of others the segments before a number."""

    processes: list[str]
    parts: dict[str, int]
    size_bytes: int


class Removal:
    """Safe to use from several servers at once."""

    def __init__(self, metadata: MetadataStore, objects: ObjectStore) -> None:
        self._metadata = metadata
        self._objects = objects

    def delete(self, process_id: str) -> None:
        """Remove a process.

        Raises:
            NotFound: there is no such process.
        """
        self._metadata.process(process_id)
        self._metadata.upkeep.remove_process(process_id, time.time_ns())
        self.collect_garbage()

    def older_than(self, time_ns: int, *, dry_run: bool = False) -> Removed:
        """Remove processes whose last event is older than a time, and of others what is in segments that are."""
        ended = self._metadata.upkeep.histories_ending_before(time_ns)
        parts = [
            (history, end // FAN_OUT * FAN_OUT)
            for history, end in self._metadata.upkeep.histories_beginning_before(time_ns)
            if end // FAN_OUT * FAN_OUT > history.first_segment
        ]
        removed = Removed(
            [history.process_id for history in ended],
            {history.process_id: end for history, end in parts},
            sum(history.size_bytes for history in ended),
        )
        if not dry_run:
            for history in ended:
                self._metadata.upkeep.remove_process(history.process_id, time.time_ns())
            for history, end in parts:
                self._remove_segments(history, end)
            self.collect_garbage()
        return removed

    def down_to(self, max_bytes: int) -> Removed:
        """Remove the oldest telemetry until the lake takes no more than so many bytes in the object store. Partitions
        go with the telemetry that they were made from."""
        processes: list[str] = []
        parts: dict[str, int] = {}
        removed_bytes = 0
        all_bytes = self._metadata.upkeep.lake_bytes()
        while all_bytes - removed_bytes > max_bytes and (oldest := self._metadata.upkeep.oldest_history()) is not None:
            end = (oldest.first_segment // FAN_OUT + 1) * FAN_OUT
            if end >= oldest.nb_segments:
                removed_bytes += self._metadata.upkeep.remove_process(oldest.process_id, time.time_ns())
                processes.append(oldest.process_id)
                parts.pop(oldest.process_id, None)
            else:
                removed_bytes += self._remove_segments(oldest, end)
                parts[oldest.process_id] = end
            self.collect_garbage()  # at once: the disk may be full
        return Removed(processes, parts, removed_bytes)

    def collect_garbage(self) -> int:
        """Delete objects that no row names any more; returns their number. What cannot be deleted now stays noted."""
        deleted = 0
        while keys := self._metadata.upkeep.garbage(AT_ONCE, time.time_ns()):
            gone = [key for key in keys if self._objects.try_delete(key)]
            self._metadata.upkeep.deleted(gone)
            deleted += len(gone)
            if len(gone) < len(keys):
                break
        return deleted

    def delete_orphans(self, now_s: float | None = None) -> int:
        """Delete objects that a server wrote and died before it could store their rows; returns their number."""
        before_s = (time.time() if now_s is None else now_s) - MIN_ORPHAN_AGE_S
        deleted = 0
        for folder in FOLDERS:
            old = sorted(key for key, written_s in self._objects.written_at(folder).items() if written_s < before_s)
            for begin in range(0, len(old), AT_ONCE):
                keys = old[begin : begin + AT_ONCE]
                known = self._metadata.upkeep.known_keys(keys)
                deleted += sum(self._objects.try_delete(key) for key in keys if key not in known)
        return deleted

    def tidy(self) -> None:
        """As `delete_orphans`, for a server that starts: failures are logged, and the next start tries again."""
        try:
            deleted = self.collect_garbage() + self.delete_orphans()
        except Exception as error:  # a server runs as well without it
            log.warning("objects without a row stay where they are: %s", error)
        else:
            if deleted:
                log.info("deleted %d objects that had no row", deleted)

    def _remove_segments(self, history: HistoryRow, end: int) -> int:
        return self._metadata.upkeep.remove_segments(history, end, largest_stretches(end), time.time_ns())
