"""Does a server keep up with many processes? `python -m benchmarks fleet`

A hundred processes of 50 threads send an upload of 5,000 spans every two seconds each: 50 uploads, and 250,000 spans, a
second. Meanwhile the last minute of one process after the other is looked at, each cold and then warm. When the
senders are done, so is that of processes that were not looked at before, for comparison.

Two programs send for all processes, on the same machine. An upload whose time has passed is sent as soon as the one
before it is acknowledged, but not long after the end: what is missing from 100 % was not sent, because the server was
too slow for it. Afterwards SQL has to show all events that were acknowledged, and exactly the spans of some processes.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from benchmarks.lakes import Workbench
from benchmarks.recordings import FLUSH_S, Live, Window
from benchmarks.results import Budget, Result
from benchmarks.sender import Sent
from benchmarks.senders import SenderFailed, acknowledged, lost_events, senders
from benchmarks.servers import Server, flightsrv_server
from flightsrv.client import Unavailable

SENDERS = 2
LOOK_EVERY_S = 5.0
QUIET_LOOKS = 10
CHECKED_PROCESSES = 5


@dataclass(frozen=True)
class Fleet:
    """So many processes of so many threads, which send for so many seconds."""

    processes: int = 100
    threads: int = 50
    seconds: float = 300.0

    @property
    def live(self) -> Live:
        """What one of them sends."""
        return Live(max(1, int(self.seconds / FLUSH_S)), self.threads)


@dataclass(frozen=True)
class _Look:
    """At the last minute of a process."""

    cold_ms: float
    warm_ms: float


def measure_fleet(bench: Workbench, fleet: Fleet, look_every_s: float = LOOK_EVERY_S) -> Iterator[Result]:
    live = fleet.live
    of_each = max(1, fleet.processes // SENDERS)
    with bench.folder("fleet-") as folder, flightsrv_server(folder / "lake", warm_up=False) as server:
        with senders(server.url, SENDERS, live, fleet.seconds, of_each) as waiting, ThreadPoolExecutor(1) as pool:
            cpu_s = server.cpu_seconds()
            waiting.begin()
            sending = pool.submit(waiting.sent)
            busy, refused, looked_at = _look_while(sending, server, look_every_s)
            sent = sending.result()
        seconds = max(each.seconds for each in sent)
        cpu_s = server.cpu_seconds() - cpu_s
        stored_bytes = sum(path.stat().st_size for path in (folder / "lake").rglob("*") if path.is_file())
        minute = _last_minute()
        unseen = [
            process.process_id for each in sent for process in each.processes if process.process_id not in looked_at
        ]
        quiet = [_look(server, process_id, minute) for process_id in unseen[:QUIET_LOOKS]]
        lost = lost_events(server, sent, live)
        _check_some(server, sent, live)
    uploads = acknowledged(sent)
    if uploads == 0:
        raise SenderFailed(f"no upload was acknowledged in {fleet.seconds} s")
    due = sum(each.due for each in sent)
    late_ms = sorted(ms for each in sent for ms in each.late_ms)
    yield Result(
        "fleet: uploads acknowledged, of those due",
        "%",
        Budget(100, "at least"),
        (100 * uploads / due,),
        {"due": due, "sent again": sum(each.repeated for each in sent)},
    )
    yield Result(
        "fleet: events lost", "events", Budget(0), (lost,), {"acknowledged": 2 * uploads * _upload_spans(live)}
    )
    details = {f"{percent} %": late_ms[len(late_ms) * percent // 100] for percent in (90, 99)}
    yield Result("fleet: acknowledged after their time", "ms", None, tuple(late_ms), details)
    for name, looks in (("while they send", busy), ("quiet", quiet)):
        if looks:
            yield Result(f"fleet: last minute, cold, {name}", "ms", None, tuple(look.cold_ms for look in looks))
            yield Result(f"fleet: last minute, warm, {name}", "ms", None, tuple(look.warm_ms for look in looks))
    yield Result("fleet: looks that the server refused", "looks", Budget(0), (refused,))
    details = {"cores of the senders": sum(each.cpu_seconds for each in sent) / seconds}
    yield Result("fleet: cores of the server", "cores", None, (cpu_s / seconds,), details)
    yield Result("fleet: disk", "bytes/span", None, (stored_bytes / (uploads * _upload_spans(live)),))


def _look_while(sending: "Future[list[Sent]]", server: Server, every_s: float) -> tuple[list[_Look], int, set[str]]:
    """Looks at every second process, in turn, while they send: what they took, how many were refused, and at which
    processes they were."""
    looks: list[_Look] = []
    refused = 0
    looked_at: set[str] = set()
    while not wait([sending], every_s).done:
        processes = server.client.query("SELECT process_id FROM processes ORDER BY process_id")[
            "process_id"
        ].to_pylist()
        if not processes:
            continue
        process_id = processes[2 * (len(looks) + refused) % len(processes)]
        looked_at.add(process_id)
        try:
            looks.append(_look(server, process_id, _last_minute()))
        except Unavailable:
            refused += 1
    return looks, refused, looked_at


def _look(server: Server, process_id: str, window: Window) -> _Look:
    cold = server.trace(process_id, window)
    return _Look(cold.complete_ms, server.trace(process_id, window).complete_ms)


def _last_minute() -> Window:
    now_ns = time.time_ns()
    return Window(now_ns - 60_000_000_000, now_ns)


def _check_some(server: Server, sent: Sequence[Sent], live: Live) -> None:
    """Raises WrongTrace unless some processes have exactly the spans that were acknowledged."""
    processes = [process for each in sent for process in each.processes]
    for process in processes[:: max(1, len(processes) // CHECKED_PROCESSES)]:
        # Ticks are from the start of the process on, so what was sent is the beginning of what could be.
        beginning = live.window(0, process.acknowledged * FLUSH_S)
        server.check_spans(process.process_id, live.spans_within(beginning))


def _upload_spans(live: Live) -> int:
    return live.threads * live.spans_per_flush
