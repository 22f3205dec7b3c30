"""Does memory stay flat as the trace grows? `python -m benchmarks run peak_memory`

The most memory that a server ever had resident, new for each trace: a trace of 10 M spans against one of 1 M, both of
50 threads. Cold: the server also makes the partitions. Warm: they are there.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, TEN_MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import flightsrv_server

RUNS = 3
_MB = 1e6


def measure(bench: Workbench, small: Whole = MILLION, large: Whole = TEN_MILLION, runs: int = RUNS) -> Iterator[Result]:
    of_small = [_peaks_mb(bench, small) for _ in range(runs)]
    of_large = [_peaks_mb(bench, large) for _ in range(runs)]
    for state, least, most in zip(
        ("cold", "warm"), zip(*of_small, strict=True), zip(*of_large, strict=True), strict=True
    ):
        extra = tuple(after - before for before, after in zip(least, most, strict=True))
        details = {"MB for 1 M": max(least), "MB for 10 M": max(most)}
        yield Result(f"extra peak memory of 10 M spans over 1 M, {state}", "MB", Budget(60), extra, details)


def _peaks_mb(bench: Workbench, whole: Whole) -> tuple[float, float]:
    """Peaks of a cold and of a warm trace."""
    with bench.fresh_copy(whole) as lake:
        return _peak_mb(lake, whole), _peak_mb(lake, whole)


def _peak_mb(lake: Path, whole: Whole) -> float:
    with flightsrv_server(lake) as server:
        server.trace(whole.process_id)
        return server.peak_memory_bytes() / _MB
