"""Does a minute of a day take longer than one of an hour? `python -m benchmarks run minute_of_day`

The day is the hour of `minute_of_hour` 24 times over, so the minute from the middle of its thirteenth hour has the same
spans as that from the middle of the hour. The ratio is the cost of the history before it and after it.

Not part of the default run: the lake has 216 M spans in 2.2 M blocks.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.minutes import times_as_long
from benchmarks.recordings import DAY, HOUR, Live
from benchmarks.results import Budget, Result

RUNS = 3


def measure(bench: Workbench, day: Live = DAY, hour: Live = HOUR, runs: int = RUNS) -> Iterator[Result]:
    yield from times_as_long(bench, "minute of a day, against one of an hour", day, hour, runs, Budget(1.2))
