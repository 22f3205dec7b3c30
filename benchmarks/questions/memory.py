"""How much memory does a server have? `python -m benchmarks run memory`

That of the server and all its workers together (PSS), when nobody has asked it anything, and after warm
traces of 50 threads and 1 M spans.
"""

from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import flightsrv_server

RUNS = 3
WARM_TRACES = 5
_MB = 1e6


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS) -> Iterator[Result]:
    idle_mb, used_mb = [], []
    with bench.fresh_copy(whole) as lake:
        with flightsrv_server(lake) as server:
            server.trace(whole.process_id)  # makes the partitions
        for _ in range(runs):
            with flightsrv_server(lake, warm_up=False) as server:
                idle_mb.append(server.memory_bytes() / _MB)
                for _ in range(WARM_TRACES):
                    server.trace(whole.process_id)
                used_mb.append(server.memory_bytes() / _MB)
    yield Result("memory of an idle server", "MB", Budget(150), tuple(idle_mb))
    yield Result("memory of a server after warm traces", "MB", Budget(220), tuple(used_mb))
