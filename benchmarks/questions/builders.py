"""Are builds faster where more processes do them? `python -m benchmarks run builders`

A cold trace of 50 threads and 10 M spans, whose partitions are built by one other process of this machine and by two,
and, of a store that takes 50 ms longer for each request, by a Dask cluster of 2, 4 and 8 workers with a thread each.
Workers wait for such a store most of the time, so that two cores can show what more machines would do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from distributed import Client, LocalCluster

from benchmarks import slow_files, stores
from benchmarks.lakes import Workbench
from benchmarks.recordings import TEN_MILLION, Whole
from benchmarks.results import Result
from benchmarks.servers import TimedTrace, check_equal
from udtf.lake.builds import build_at

PROCESSES = (1, 2)
WORKERS = (2, 4, 8)


def measure(
    bench: Workbench,
    whole: Whole = TEN_MILLION,
    processes: Sequence[int] = PROCESSES,
    workers: Sequence[int] = WORKERS,
    latency_ms: float = stores.LATENCY_MS,
) -> Iterator[Result]:
    with stores.local(bench) as fresh_server:
        by_processes = [
            _cold_trace(fresh_server, whole, "--builders", "processes", "--max-builds", str(number))
            for number in processes
        ]
    by_workers = []
    with stores.slow(bench, latency_ms) as fresh_server:
        for number in workers:
            with _cluster(number, latency_ms) as builders:
                by_workers.append(_cold_trace(fresh_server, whole, "--builders", builders))
    check_equal([*by_processes, *by_workers])
    yield from _results("processes", processes, by_processes)
    yield from _results(f"Dask workers, {latency_ms:g} ms per request", workers, by_workers)


def _results(what: str, numbers: Sequence[int], traces: Sequence[TimedTrace]) -> Iterator[Result]:
    for number, trace in zip(numbers, traces, strict=True):
        details = {f"times as fast as {numbers[0]}": traces[0].complete_ms / trace.complete_ms}
        yield Result(f"cold trace built by {number} {what}", "ms", None, (trace.complete_ms,), details)


def _cold_trace(fresh_server: stores.FreshServer, whole: Whole, *options: str) -> TimedTrace:
    with fresh_server(whole, *options) as server:
        return server.trace(whole.process_id)


@contextmanager
def _cluster(nb_workers: int, latency_ms: float) -> Iterator[str]:
    """A Dask cluster of this machine whose workers know the slow store, as `--builders` takes it."""
    with LocalCluster(
        n_workers=nb_workers,
        threads_per_worker=1,
        dashboard_address=":0",
        preload=[str(Path(slow_files.__file__))],
        env={slow_files.LATENCY_VARIABLE: str(latency_ms)},
    ) as cluster:
        with Client(cluster, set_as_default=False) as client:
            # What workers load at their first build takes each of them longer than ten builds.
            client.run(import_module, build_at.__module__)
        yield str(cluster.scheduler_address).replace("tcp://", "dask://")
