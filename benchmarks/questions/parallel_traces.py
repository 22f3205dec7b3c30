"""What do traces cost that are made at once? `python -m benchmarks run parallel_traces`

Eight clients ask one server for the same trace of 50 threads and 1 M spans, at the same moment: of a lake where nothing
is materialized, which all of them wait for together, and of one where everything is. Memory is the most that the server
ever had resident, less that of a server that made one such trace. Time, warm, is that until the last client has its
trace, against one trace on the same server after the other, for a client whose program also holds the traces of
the others.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import flightsrv.client
from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import Server, TimedTrace, check_equal, flightsrv_server

CLIENTS = 8
RUNS = 3
_MB = 1e6


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS) -> Iterator[Result]:
    cold_mb, warm_mb, factors, first_ms = [], [], [], []
    for _ in range(runs):
        with bench.fresh_copy(whole) as lake:
            with flightsrv_server(lake) as server:
                one = server.trace(whole.process_id)
                one_mb = server.peak_memory_bytes() / _MB
            with flightsrv_server(lake) as server:
                server.trace(whole.process_id)
                in_turn = [server.trace(whole.process_id) for _ in range(CLIENTS)]
                at_once, at_once_ms = _at_once(server, whole)
                factors.append(at_once_ms / sum(trace.complete_ms for trace in in_turn))
                first_ms.append(max(trace.first_chunk_ms for trace in at_once))
                warm_mb.append(server.peak_memory_bytes() / _MB - one_mb)
        with bench.fresh_copy(whole) as lake, flightsrv_server(lake) as server:
            cold, _ = _at_once(server, whole)
            check_equal([one, *in_turn, *at_once, *cold])
            cold_mb.append(server.peak_memory_bytes() / _MB - one_mb)
    yield Result(f"extra peak memory of {CLIENTS} traces at once, cold", "MB", None, tuple(cold_mb))
    yield Result(f"extra peak memory of {CLIENTS} traces at once, warm", "MB", None, tuple(warm_mb))
    yield Result(f"{CLIENTS} traces at once, against one after the other", "times as long", Budget(0.7), tuple(factors))
    yield Result(f"first chunk of the slowest of {CLIENTS} traces at once", "ms", Budget(60), tuple(first_ms))


def _at_once(server: Server, whole: Whole) -> tuple[list[TimedTrace], float]:
    """As many traces as there are clients, and the milliseconds until the last one was complete."""
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        servers = [
            Server(server.pid, stack.enter_context(flightsrv.client.connect(server.url)), server.url)
            for _ in range(CLIENTS)
        ]
        begin_s = time.perf_counter()
        taken = list(pool.map(lambda client: client.take_trace(whole.process_id), servers))
        ms = (time.perf_counter() - begin_s) * 1e3
    return [trace.looked_at() for trace in taken], ms
