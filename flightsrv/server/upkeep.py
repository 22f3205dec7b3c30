"""Keeps a lake as young, as small and as tidy as it should be, while a server runs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from udtf.lake.lake import Lake
from udtf.lake.removal import Removed

log = logging.getLogger(__name__)

_PACKING_PAUSE_S = 10.0
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


class Upkeep:
    """What a server does for its lake, on threads of its own, until it is closed: one removes what is too old or too
    much, the other packs small objects, which may take long. Both begin with what an earlier server left undone."""

    def __init__(self, lake: Lake, retention: Retention) -> None:
        self._lake = lake
        self._retention = retention
        self._closed = threading.Event()
        for work in (self._remove_often, self._pack_often):
            threading.Thread(target=work, name="upkeep", daemon=True).start()

    def close(self) -> None:
        """Start no more work."""
        self._closed.set()

    def _remove_often(self) -> None:
        self._lake.removal.tidy()
        pause_s = self._lake.packing.kept_s if self._retention == Retention() else self._retention.pause_s
        while not self._closed.is_set():
            self._attempt("retention", self._remove)
            self._closed.wait(pause_s)

    def _pack_often(self) -> None:
        packing = self._lake.packing
        self._attempt("packing", lambda: self._pack(packing.pack_all()))
        while not self._closed.wait(_PACKING_PAUSE_S):
            self._attempt("packing", lambda: self._pack(packing.pack()))

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # the next time may succeed
            if not self._closed.is_set():
                log.warning("%s: nothing more was done this time: %s", what, error)

    def _remove(self) -> None:
        self._lake.removal.collect_garbage()
        for removed in self._retention.apply(self._lake):
            if removed.processes or removed.parts:
                log.info(
                    "retention: removed %d processes, and the oldest segments of %d others",
                    len(removed.processes),
                    len(removed.parts),
                )

    def _pack(self, packs: Iterator[int]) -> None:
        begin_s = time.monotonic()
        for _ in packs:
            # It rests as long as it has worked: a lake may have much to pack, and queries should not notice.
            if self._closed.wait(time.monotonic() - begin_s):
                return
            begin_s = time.monotonic()
