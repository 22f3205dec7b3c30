"""A range of time that a caller asks about."""

from dataclasses import dataclass

import numpy as np

from udtf.errors import InvalidArgument

MIN_TIME_NS = -(1 << 63)
MAX_TIME_NS = (1 << 63) - 1


@dataclass(frozen=True)
class TimeRange:
    """Nanoseconds since the Unix epoch, UTC, both ends included.

    A span overlaps it when `begin <= end_ns` and (`end >= begin_ns` or the span has no end).

    Raises:
        InvalidArgument: the range ends before it begins.
    """

    begin_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns < self.begin_ns:
            begin, end = (np.datetime64(time_ns, "ns") for time_ns in (self.begin_ns, self.end_ns))
            raise InvalidArgument(f"time range ends before it begins: begin {begin}Z, end {end}Z")

    def within(self, other: "TimeRange") -> "TimeRange | None":
        """What both have in common; None if that is nothing."""
        begin_ns, end_ns = max(self.begin_ns, other.begin_ns), min(self.end_ns, other.end_ns)
        return TimeRange(begin_ns, end_ns) if begin_ns <= end_ns else None


def time_range_of(begin_ns: int | None, end_ns: int | None) -> TimeRange:
    """The range between two times, where None is no limit."""
    return TimeRange(MIN_TIME_NS if begin_ns is None else begin_ns, MAX_TIME_NS if end_ns is None else end_ns)


ALL_TIME = TimeRange(MIN_TIME_NS, MAX_TIME_NS)
"""Every span, whenever it was."""
