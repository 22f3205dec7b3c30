"""From a process's ticks to nanoseconds since the Unix epoch."""

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

NS_PER_SECOND = 1_000_000_000
MAX_FREQUENCY = 9_000_000_000
"""Ticks per second. Above it, one second's ticks times a billion would leave int64."""


@dataclass(frozen=True)
class Clock:
    """`time = start_time + (ticks - start_ticks) * 1e9 / frequency`, rounded down, in integers throughout."""

    start_time_ns: int
    start_ticks: int
    frequency: int

    @overload
    def to_ns(self, ticks: int) -> int: ...
    @overload
    def to_ns(self, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
    def to_ns(self, ticks: int | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
        """Nanoseconds since the Unix epoch of a tick count, or of a column of them."""
        elapsed = ticks - self.start_ticks
        if self.frequency == NS_PER_SECOND:
            return elapsed + self.start_time_ns
        # Whole seconds first: ticks times a billion would overflow after nine seconds at 1 GHz.
        seconds, rest = divmod(elapsed, self.frequency)
        return seconds * NS_PER_SECOND + rest * NS_PER_SECOND // self.frequency + self.start_time_ns
