"""What does a minute of an hour take? `python -m benchmarks run minute_of_hour`

A process of 50 threads has sent telemetry for an hour, an upload every two seconds: 9 M spans in 90,000 blocks. Someone
looks at a minute from the middle of it, 150,000 spans, and at ten milliseconds of that. Cold: each run has a copy of
the lake and a new server, nothing is materialized. Warm: the same server is asked again.

Requests to the object store are the server's own count. Statements to the metadata database, files and
syncs are counted in one more cold run, which is not timed, because counting takes time.
"""

from collections.abc import Iterator, Sequence

from benchmarks.counting_server import statements
from benchmarks.lakes import Workbench, count_files
from benchmarks.recordings import HOUR, Live, Window
from benchmarks.results import Budget, Result
from benchmarks.servers import TimedTrace, check_equal, flightsrv_server, median_cpu_ms, serving
from benchmarks.syscalls import counted_syncs

COLD_RUNS = 3
WARM_RUNS = 15


def measure(
    bench: Workbench, live: Live = HOUR, cold_runs: int = COLD_RUNS, warm_runs: int = WARM_RUNS
) -> Iterator[Result]:
    minute = live.minute
    moment = Window(minute.begin_ns + 20_000_000_000, minute.begin_ns + 20_009_999_999)
    yield from _measure(bench, live, "minute of an hour", minute, (200, 30, 40, 15), cold_runs, warm_runs)
    yield from _measure(bench, live, "ten ms of an hour", moment, None, cold_runs, warm_runs)
    yield _counted(bench, live)


def _measure(
    bench: Workbench,
    live: Live,
    name: str,
    window: Window,
    budgets_ms: Sequence[float] | None,
    cold_runs: int,
    warm_runs: int,
) -> Iterator[Result]:
    cold: list[TimedTrace] = []
    for _ in range(cold_runs):
        with bench.fresh_copy(live) as lake, flightsrv_server(lake) as server:
            cold.append(server.trace(live.process_id, window))
            if len(cold) == cold_runs:
                warm = [server.trace(live.process_id, window) for _ in range(warm_runs)]
                server.check_spans(live.process_id, live.spans_within(window), window)
    check_equal([*cold, *warm])
    budgets = [None] * 4 if budgets_ms is None else list(map(Budget, budgets_ms))
    for state, traces, complete, first in (("cold", cold, *budgets[:2]), ("warm", warm, *budgets[2:])):
        details = median_cpu_ms(traces)
        yield Result(f"{name}, {state}", "ms", complete, tuple(trace.complete_ms for trace in traces), details)
        yield Result(f"{name}, first chunk, {state}", "ms", first, tuple(trace.first_chunk_ms for trace in traces))


def _counted(bench: Workbench, live: Live) -> Result:
    with bench.fresh_copy(live) as lake:
        count = lake.with_name("statements")
        module = ["benchmarks.counting_server", str(count)]
        with serving(module, ["--lake", str(lake)], lake.with_name("server.log")) as server:
            files, statements_before, store_before = count_files(lake), statements(count), server.store_use()
            with counted_syncs(server.pids()) as syncs:
                trace = server.trace(live.process_id, live.minute)
            statements_after = statements(count)
            store = server.store_use() - store_before
            details = {
                "statements": statements_after - statements_before,
                "files written": count_files(lake) - files,
                **({} if syncs.count is None else {"syncs": syncs.count}),
                "bytes read per byte shown": store.read_bytes / trace.size_bytes,
                "bytes written per byte shown": store.written_bytes / trace.size_bytes,
            }
    return Result("minute of an hour, cold, requests to the store", "requests", Budget(100), (store.requests,), details)
