"""How much memory does a server keep for a process of a million blocks? `python -m benchmarks run million_blocks`

50 threads, 20,000 uploads, two spans a block: eleven hours. Memory of the server and its workers (PSS) after a trace of
one minute of that process, less that after the same server has traced a tiny one.

Not part of the default run: the lake takes as long to make as the server needs for a million blocks.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION_BLOCKS, Live
from benchmarks.results import Budget, Result
from benchmarks.servers import flightsrv_server

RUNS = 3
_MB = 1e6


def measure(bench: Workbench, live: Live = MILLION_BLOCKS, runs: int = RUNS) -> Iterator[Result]:
    extra_mb = []
    for _ in range(runs):
        with bench.fresh_copy(live) as lake, flightsrv_server(lake) as server:
            before_bytes = server.memory_bytes()
            server.trace(live.process_id, live.minute)
            extra_mb.append((server.memory_bytes() - before_bytes) / _MB)
            server.check_spans(live.process_id, live.spans_within(live.minute), live.minute)
    yield Result(
        "memory kept for a process of a million blocks", "MB", Budget(20), tuple(extra_mb), {"blocks": live.blocks}
    )
