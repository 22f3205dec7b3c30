"""How long does a trace take whose partitions are all there, and how large is it? `python -m benchmarks run warm_trace`

One server, one client, one trace after the other, of 50 threads and 1 M spans. The time counts from the client's
request to its last chunk.
"""

from collections.abc import Iterator

from benchmarks.lakes import MILLION, Shape, Workbench
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, flightsrv_server, median_cpu_ms

RUNS = 15


def measure(bench: Workbench, shape: Shape = MILLION, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(shape) as lake, flightsrv_server(lake) as server:
        first = server.trace(shape.process_id)  # makes the partitions
        traces = [server.trace(shape.process_id) for _ in range(runs)]
        server.check_spans(shape.process_id, shape.spans)
    check_equal([first, *traces])
    yield Result("warm trace", "ms", Budget(150), tuple(trace.complete_ms for trace in traces), median_cpu_ms(traces))
    yield Result("first chunk, warm", "ms", Budget(20), tuple(trace.first_chunk_ms for trace in traces))
    yield Result("trace size", "bytes/span", Budget(36), (first.size_bytes / shape.spans,))
