"""Does a trace take longer when the lake has other processes? `python -m benchmarks run other_processes`

A minute of a process of 50 threads, alone in its lake and among 99 others of 10 threads each.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.minutes import times_as_long
from benchmarks.recordings import AMONG_A_HUNDRED, Among
from benchmarks.results import Result

RUNS = 3


def measure(bench: Workbench, among: Among = AMONG_A_HUNDRED, runs: int = RUNS) -> Iterator[Result]:
    yield from times_as_long(bench, "minute among 100 processes, against alone", among, among.measured, runs, None)
