"""Does fanning out hide a slow object store? `python -m benchmarks run slow_store`

Every request to the store takes 50 ms longer. A cold trace of 50 threads and 1 M spans with the server's own limits,
against one where a single partition is built, and a single thread scanned, at a time. (Even there the next
thread is built while one is scanned, so a server that did one thing after the other would be slower still.)
"""

from collections.abc import Iterator

from benchmarks.lakes import MILLION, Shape, Workbench
from benchmarks.results import Budget, Result
from benchmarks.servers import TimedTrace, check_equal, slow_server

RUNS = 3
LATENCY_MS = 50.0


def measure(
    bench: Workbench, shape: Shape = MILLION, runs: int = RUNS, latency_ms: float = LATENCY_MS
) -> Iterator[Result]:
    one_at_a_time = [_cold_trace(bench, shape, latency_ms, one_at_a_time=True) for _ in range(runs)]
    concurrent = [_cold_trace(bench, shape, latency_ms, one_at_a_time=False) for _ in range(runs)]
    check_equal([*one_at_a_time, *concurrent])
    factors = tuple(slow.complete_ms / fast.complete_ms for slow, fast in zip(one_at_a_time, concurrent, strict=True))
    details = {
        "ms one at a time": min(trace.complete_ms for trace in one_at_a_time),
        "ms at once": min(trace.complete_ms for trace in concurrent),
    }
    yield Result(
        "store of 50 ms per request, cold, against one thread at a time",
        "times faster",
        Budget(8, "at least"),
        factors,
        details,
    )


def _cold_trace(bench: Workbench, shape: Shape, latency_ms: float, *, one_at_a_time: bool) -> TimedTrace:
    with (
        bench.fresh_copy(shape) as lake,
        slow_server(lake, latency_ms, one_at_a_time=one_at_a_time) as server,
    ):
        return server.trace(shape.process_id)
