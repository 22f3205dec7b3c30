"""What do many threads of few spans take? `python -m benchmarks run many_threads`

A cold trace of 500 threads of 200 spans each, on a local folder, on a store that takes 50 ms longer for each
request, and on a simulator of S3, which computes on the same machine. The metadata database is a local file.
"""

import statistics
from collections.abc import Iterator

from benchmarks import stores
from benchmarks.lakes import Workbench
from benchmarks.recordings import MANY_THREADS, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import check_equal, median_cpu_ms

RUNS = 3
STORES = (
    ("local", stores.local, Budget(300)),
    ("50 ms per request", stores.slow, Budget(600)),
    ("S3 simulator", stores.s3, Budget(1_000)),
)


def measure(bench: Workbench, whole: Whole = MANY_THREADS, runs: int = RUNS) -> Iterator[Result]:
    all_traces = []
    for title, store, budget in STORES:
        traces, requests = [], []
        with store(bench) as fresh_server:
            for _ in range(runs):
                with fresh_server(whole) as server:
                    before = server.store_use()
                    traces.append(server.trace(whole.process_id))
                    requests.append((server.store_use() - before).requests)
                    server.check_spans(whole.process_id, whole.spans)
        details = {**median_cpu_ms(traces), "requests": statistics.median(requests)}
        times_ms = tuple(trace.complete_ms for trace in traces)
        yield Result(f"500 threads x 200 spans, cold, {title}", "ms", budget, times_ms, details)
        all_traces += traces
    check_equal(all_traces)
