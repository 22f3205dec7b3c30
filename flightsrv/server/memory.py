"""How much memory the process has, and by how much that rises."""

import os
import time
from pathlib import Path

INTERVAL_S = 0.02

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory that the process has resident now; 0 where the system does not tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


class MemoryWatch:
    """By how much the process has grown since the watch began, at most, as far as it looked."""

    def __init__(self) -> None:
        self._begin_bytes = resident_bytes()
        self._looked_s = time.monotonic()
        self.growth_bytes = 0

    def look(self) -> None:
        """Look now, if the last time is a while ago."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= INTERVAL_S:
            self._looked_s = now_s
            self.growth_bytes = max(self.growth_bytes, resident_bytes() - self._begin_bytes)
