"""By how much the memory of the process rises."""

import time

from udtf.execution.memory import resident_bytes

INTERVAL_S = 0.02


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
