"""What does it cost when telemetry came late? `python -m benchmarks run late_telemetry`

The minute in the middle of twelve, of 20 threads. One lake has them as they were recorded; in another one, blocks came
late and in another order; in a third one, the sender could reach no server for ten minutes, and sent all of them at
once.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.minutes import times_as_long
from benchmarks.recordings import TWELVE_MINUTES, TWELVE_MINUTES_AWAY, TWELVE_MINUTES_LATE, Live
from benchmarks.results import Result

RUNS = 3


def measure(
    bench: Workbench,
    in_order: Live = TWELVE_MINUTES,
    late: Live = TWELVE_MINUTES_LATE,
    away: Live = TWELVE_MINUTES_AWAY,
    runs: int = RUNS,
) -> Iterator[Result]:
    yield from times_as_long(bench, "minute of late blocks, against in order", late, in_order, runs, None)
    yield from times_as_long(
        bench, "minute sent with nine others at once, against in order", away, in_order, runs, None
    )
