"""What does a trace cost apart from its spans? `python -m benchmarks run small_trace`

50 threads of 100 spans each, partitions all there.
"""

from collections.abc import Iterator

from benchmarks.lakes import SMALL, Shape, Workbench
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, flightsrv_server, median_cpu_ms

RUNS = 40


def measure(bench: Workbench, shape: Shape = SMALL, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(shape) as lake, flightsrv_server(lake) as server:
        first = server.trace(shape.process_id)  # makes the partitions
        traces = [server.trace(shape.process_id) for _ in range(runs)]
        server.check_spans(shape.process_id, shape.spans)
    check_equal([first, *traces])
    yield Result(
        "50 threads x 100 spans, warm",
        "ms",
        Budget(40),
        tuple(trace.complete_ms for trace in traces),
        median_cpu_ms(traces),
    )
