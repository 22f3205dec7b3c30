"""What do traces cost that are made at once? `python -m benchmarks run parallel_traces`

Eight clients ask one server for the same trace of 50 threads and 1 M spans, at the same moment: of a lake where nothing
is materialized, which all of them wait for together, and of one where everything is. Memory is the most that the server
ever had resident, less that of a server that made one such trace. Time is that until the last client has its trace,
against one trace on the same server after the other.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import flightsrv.client
from benchmarks.lakes import MILLION, Shape, Workbench
from benchmarks.results import Result
from benchmarks.servers import Server, TimedTrace, check_equal, flightsrv_server

CLIENTS = 8
RUNS = 3
_MB = 1e6


def measure(bench: Workbench, shape: Shape = MILLION, runs: int = RUNS) -> Iterator[Result]:
    cold_mb, warm_mb, factors = [], [], []
    for _ in range(runs):
        with bench.fresh_copy(shape) as lake:
            with flightsrv_server(lake) as server:
                one = server.trace(shape.process_id)
                one_mb = server.peak_memory_bytes() / _MB
            with flightsrv_server(lake) as server:
                server.trace(shape.process_id)
                begin_s = time.perf_counter()
                in_turn = [server.trace(shape.process_id) for _ in range(CLIENTS)]
                in_turn_s = time.perf_counter() - begin_s
                begin_s = time.perf_counter()
                at_once = _traces(server, shape)
                factors.append((time.perf_counter() - begin_s) / in_turn_s)
                warm_mb.append(server.peak_memory_bytes() / _MB - one_mb)
        with bench.fresh_copy(shape) as lake, flightsrv_server(lake) as server:
            check_equal([one, *in_turn, *at_once, *_traces(server, shape)])
            cold_mb.append(server.peak_memory_bytes() / _MB - one_mb)
    yield Result(f"extra peak memory of {CLIENTS} traces at once, cold", "MB", None, tuple(cold_mb))
    yield Result(f"extra peak memory of {CLIENTS} traces at once, warm", "MB", None, tuple(warm_mb))
    yield Result(f"{CLIENTS} traces at once, against one after the other", "times as long", None, tuple(factors))


def _traces(server: Server, shape: Shape) -> list[TimedTrace]:
    """As many traces as there are clients, asked for at once."""
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        servers = [
            Server(server.pid, stack.enter_context(flightsrv.client.connect(server.url)), server.url)
            for _ in range(CLIENTS)
        ]
        return list(pool.map(lambda client: client.trace(shape.process_id), servers))
