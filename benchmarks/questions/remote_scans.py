"""Does it help to read many threads at once when nothing has to be waited for? `python -m benchmarks run remote_scans`

Warm traces of 50 threads and 1 M spans from a remote store, by a server that has everything in memory and as many
scans at once as suits such stores, against one that scans one thread at a time.
"""

import statistics
from collections.abc import Iterator

from benchmarks import stores
from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import Server, TimedTrace, check_equal

RUNS = 9


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS, latency_ms: float = 50.0) -> Iterator[Result]:
    with (
        stores.slow(bench, latency_ms) as fresh_server,
        fresh_server(whole) as by_default,
        fresh_server(whole, "--max-scans", "1") as one_at_a_time,
    ):
        first = [_trace(server, whole) for server in (by_default, one_at_a_time)]
        pairs = [(_trace(by_default, whole), _trace(one_at_a_time, whole)) for _ in range(runs)]
    check_equal([*first, *(trace for pair in pairs for trace in pair)])
    factors = tuple(many.complete_ms / one.complete_ms for many, one in pairs)
    details = {
        "ms": statistics.median(many.complete_ms for many, _ in pairs),
        "ms one at a time": statistics.median(one.complete_ms for _, one in pairs),
    }
    yield Result(
        "warm trace of a remote store, against one scan at a time", "times as long", Budget(1.0), factors, details
    )


def _trace(server: Server, whole: Whole) -> TimedTrace:
    return server.trace(whole.process_id)
