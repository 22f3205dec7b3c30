"""What does an hour take as a whole? `python -m benchmarks run hour`

All 9 M spans of the process of `minute_of_hour`, cold (a copy of the lake and a new server) and warm.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import HOUR, Live
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, flightsrv_server, median_cpu_ms

COLD_RUNS = 1
WARM_RUNS = 3


def measure(
    bench: Workbench, live: Live = HOUR, cold_runs: int = COLD_RUNS, warm_runs: int = WARM_RUNS
) -> Iterator[Result]:
    cold, warm = [], []
    for _ in range(cold_runs):
        with bench.fresh_copy(live) as lake, flightsrv_server(lake) as server:
            cold.append(server.trace(live.process_id))
            warm += [server.trace(live.process_id) for _ in range(warm_runs)]
            server.check_spans(live.process_id, live.spans)
    check_equal([*cold, *warm])
    for state, traces, budget_s in (("cold", cold, 4.0), ("warm", warm, 0.8)):
        seconds = tuple(trace.complete_ms / 1e3 for trace in traces)
        yield Result(f"hour, {state}", "s", Budget(budget_s), seconds, median_cpu_ms(traces))
        yield Result(f"hour, first chunk, {state}", "ms", None, tuple(trace.first_chunk_ms for trace in traces))
