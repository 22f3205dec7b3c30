"""How long does a trace take whose partitions are all there, and how large is it? `python -m benchmarks run warm_trace`

One server, one client, one trace after the other, of 50 threads and 1 M spans. The time counts from the client's
request to its last chunk.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, flightsrv_server, median_cpu_ms

RUNS = 15


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(whole) as lake, flightsrv_server(lake) as server:
        first = server.trace(whole.process_id)  # makes the partitions
        traces = [server.trace(whole.process_id) for _ in range(runs)]
        server.check_spans(whole.process_id, whole.spans)
    check_equal([first, *traces])
    yield Result("warm trace", "ms", Budget(60), tuple(trace.complete_ms for trace in traces), median_cpu_ms(traces))
    yield Result("first chunk, warm", "ms", Budget(10), tuple(trace.first_chunk_ms for trace in traces))
    yield Result("trace size", "bytes/span", Budget(33), (first.size_bytes / whole.spans,))
