"""What does a trace cost apart from its spans? `python -m benchmarks run small_trace`

50 threads of 100 spans each, partitions all there.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import SMALL, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, flightsrv_server, median_cpu_ms

RUNS = 40


def measure(bench: Workbench, whole: Whole = SMALL, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(whole) as lake, flightsrv_server(lake) as server:
        first = server.trace(whole.process_id)  # makes the partitions
        traces = [server.trace(whole.process_id) for _ in range(runs)]
        server.check_spans(whole.process_id, whole.spans)
    check_equal([first, *traces])
    yield Result(
        "50 threads x 100 spans, warm",
        "ms",
        Budget(20),
        tuple(trace.complete_ms for trace in traces),
        median_cpu_ms(traces),
    )
