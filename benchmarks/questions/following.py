"""What does it cost to follow a process that runs? `python -m benchmarks run following`

A server has shown the last minute of a process of 50 threads. Then an upload comes, as every two seconds, and the last
minute is asked for again, and so on. Between two looks, 5,000 spans of 150,000 are new.
"""

import statistics
from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import FLUSH_S, Live
from benchmarks.results import Result
from benchmarks.servers import flightsrv_server, median_cpu_ms

MINUTE = 60 // FLUSH_S
LOOKS = 10
FOLLOWED = Live(MINUTE + LOOKS)


def measure(bench: Workbench, live: Live = FOLLOWED) -> Iterator[Result]:
    traces, stores = [], []
    introduction, blocks = [], []
    for upload in live.uploads():
        (blocks if upload[0] == "blocks" else introduction).append(upload)
    with bench.folder("following-") as folder, flightsrv_server(folder / "lake", warm_up=False) as server:
        for upload in introduction + blocks[:MINUTE]:
            server.client.ingest(*upload)
        server.trace(live.process_id, live.window(0, MINUTE * FLUSH_S))
        for index, upload in enumerate(blocks[MINUTE:], start=1):
            server.client.ingest(*upload)
            window = live.window(index * FLUSH_S, MINUTE * FLUSH_S)
            before = server.store_use()
            traces.append(server.trace(live.process_id, window))
            stores.append(server.store_use() - before)
        server.check_spans(live.process_id, live.spans_within(window), window)
    details = {
        **median_cpu_ms(traces),
        "requests to the store": statistics.median(store.requests for store in stores),
        "MB written": statistics.median(store.written_bytes for store in stores) / 1e6,
    }
    times_ms = tuple(trace.complete_ms for trace in traces)
    yield Result("last minute, after one more upload", "ms", None, times_ms, details)
