"""How long does a trace take when nothing is materialized? `python -m benchmarks run cold_trace`

Each run has a copy of the lake without partitions and a new server, which has loaded its code by tracing another, tiny
process, and knows nothing of this one: no partition, no cached row, no open file. Blocks may be in the page cache of
the operating system, as those of a process that was just recorded are. 50 threads, 1 M spans.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import TimedTrace, check_equal, flightsrv_server, median_cpu_ms

RUNS = 7


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS) -> Iterator[Result]:
    traces = [_cold_trace(bench, whole) for _ in range(runs)]
    check_equal(traces)
    yield Result("cold trace", "ms", Budget(350), tuple(trace.complete_ms for trace in traces), median_cpu_ms(traces))
    yield Result("first chunk, cold", "ms", Budget(10), tuple(trace.first_chunk_ms for trace in traces))


def _cold_trace(bench: Workbench, whole: Whole) -> TimedTrace:
    with bench.fresh_copy(whole) as lake, flightsrv_server(lake) as server:
        return server.trace(whole.process_id)
