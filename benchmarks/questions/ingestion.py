"""How much telemetry does a server take? `python -m benchmarks run ingestion`

Four senders upload as fast as they can, one upload after the other; each is acknowledged when it is durable. Small: an
upload has 50 threads of 500 events each, as tracing libraries send them. Large: blocks of 65,536 events, ten in an
upload. The senders compute on the same machine; their uploads are made before. Afterwards, all that was
acknowledged is there.

Syncs are counted in one more run, which is not timed, because counting takes time.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.lakes import Workbench, count_files
from benchmarks.recordings import Live
from benchmarks.results import Budget, Result
from benchmarks.senders import acknowledged, lost_events, senders
from benchmarks.servers import WrongTrace, flightsrv_server
from benchmarks.syscalls import counted_syncs

SENDERS = 4
SECONDS = 8.0
RUNS = 3
SMALL = Live(20, threads=50, spans_per_flush=250)
LARGE = Live(3, threads=10, spans_per_flush=32_768)


@dataclass(frozen=True)
class _Run:
    """What a server took, per upload where nothing else is said."""

    uploads_per_second: float
    ack_ms: float
    server_cpu_ms: float
    requests: float
    files: float
    syncs: float | None


def measure(
    bench: Workbench, small: Live = SMALL, large: Live = LARGE, seconds: float = SECONDS, runs: int = RUNS
) -> Iterator[Result]:
    of_small = [_run(bench, small, seconds) for _ in range(runs)]
    details = {
        "server CPU ms an upload": statistics.median(run.server_cpu_ms for run in of_small),
        "ms until acknowledged": statistics.median(run.ack_ms for run in of_small),
    }
    per_second = tuple(run.uploads_per_second for run in of_small)
    yield Result("ingestion of small blocks", "uploads/s", Budget(100, "at least"), per_second, details)
    counted = _run(bench, small, seconds, count_syncs=True)
    details = {"files": counted.files} | ({} if counted.syncs is None else {"syncs": counted.syncs})
    requests = tuple(run.requests for run in of_small)
    yield Result("ingestion of small blocks, requests to the store", "per upload", Budget(1), requests, details)
    of_large = [_run(bench, large, seconds) for _ in range(runs)]
    upload_events = large.threads * large.spans_per_flush * 2
    millions = tuple(run.uploads_per_second * upload_events / 1e6 for run in of_large)
    details = {"server CPU ns an event": statistics.median(run.server_cpu_ms for run in of_large) * 1e6 / upload_events}
    yield Result("ingestion of large blocks", "M events/s", Budget(10, "at least"), millions, details)


def _run(bench: Workbench, live: Live, seconds: float, *, count_syncs: bool = False) -> _Run:
    with bench.folder("ingestion-") as folder:
        lake = folder / "lake"
        with (
            flightsrv_server(lake, warm_up=False) as server,
            senders(server.url, SENDERS, live, seconds) as waiting,
        ):
            files, store, cpu_s = count_files(lake), server.store_use(), server.cpu_seconds()
            with counted_syncs(server.pids() if count_syncs else []) as syncs:
                waiting.begin()
                sent = waiting.sent()
            cpu_s = server.cpu_seconds() - cpu_s
            requests = (server.store_use() - store).requests
            files = count_files(lake) - files
            if lost := lost_events(server, sent, live):
                raise WrongTrace(f"{lost} events were acknowledged that are not in the lake")
    uploads = acknowledged(sent)
    return _Run(
        uploads_per_second=uploads / max(each.seconds for each in sent),
        ack_ms=statistics.median(ms for each in sent for ms in each.ack_ms),
        server_cpu_ms=cpu_s * 1e3 / uploads,
        requests=requests / uploads,
        files=files / uploads,
        syncs=None if syncs.count is None else syncs.count / uploads,
    )
