"""Keeps a lake as young and as small as it should be, while a server runs."""

import logging
import threading
import time
from dataclasses import dataclass

from udtf.lake.lake import Lake
from udtf.lake.removal import Removed

log = logging.getLogger(__name__)

_MIN_PAUSE_S = 1.0
_MAX_PAUSE_S = 600.0
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Retention:
    """What a lake keeps.

    Attributes:
        max_age_s: telemetry whose events are older is removed; None keeps it for ever.
        max_bytes: when objects take more, the oldest telemetry is removed; None is no limit.
    """

    max_age_s: float | None = None
    max_bytes: int | None = None

    def apply(self, lake: Lake, *, dry_run: bool = False) -> list[Removed]:
        """Remove what should go by now, by age and then by size; a dry run looks at ages only."""
        removed = []
        if self.max_age_s is not None:
            oldest_ns = time.time_ns() - int(self.max_age_s * _NS_PER_S)
            removed.append(lake.removal.older_than(oldest_ns, dry_run=dry_run))
        if self.max_bytes is not None and not dry_run:
            removed.append(lake.removal.down_to(self.max_bytes))
        return removed

    @property
    def pause_s(self) -> float:
        """How long to wait between two looks: telemetry is at most a tenth older than it should be."""
        if self.max_bytes is not None or self.max_age_s is None:
            return _MAX_PAUSE_S / 10
        return min(max(self.max_age_s / 10, _MIN_PAUSE_S), _MAX_PAUSE_S)


class RetentionTimer:
    """Applies retention now and then, on a thread of its own, until it is closed. Begins by removing objects that a
    server which died has left without a row."""

    def __init__(self, lake: Lake, retention: Retention) -> None:
        self._lake = lake
        self._retention = retention
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="retention", daemon=True).start()

    def close(self) -> None:
        """Start no more work."""
        self._closed.set()

    def _run(self) -> None:
        self._lake.removal.tidy()
        if self._retention == Retention():
            return
        while not self._closed.is_set():
            try:
                for removed in self._retention.apply(self._lake):
                    if removed.processes or removed.parts:
                        log.info(
                            "retention: removed %d processes, and the oldest segments of %d others",
                            len(removed.processes),
                            len(removed.parts),
                        )
            except Exception as error:  # the next look may succeed
                log.warning("retention: nothing more was removed this time: %s", error)
            self._closed.wait(self._retention.pause_s)
