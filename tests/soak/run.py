"""Clients and a server together, for a while."""

import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

import flightsrv.client
from tests.soak.watch import Taken, look, most
from tests.soak.work import Client, Known, is_busy, recording

HANG_S = 120.0
"""A piece of work that takes longer hangs: the server's own patience with a query that waits for others is a minute."""

SHAPES = {"small": (5, 40), "middle": (20, 1_000), "large": (50, 5_000)}
"""Threads, and spans of each, of the processes that are there from the beginning."""


@dataclass
class Report:
    """What came of it.

    Attributes:
        done: how often each kind of work was done.
        sent_away: how often the server had too much to do.
        failures: what went wrong, with where.
        before: what the server took when it had done everything once.
        peak: the most that it took.
        after: what it took when all clients had left.
    """

    before: Taken
    peak: Taken
    after: Taken
    done: Counter[str] = field(default_factory=Counter)
    sent_away: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        work = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        return (
            f"done {self.done.total()} times: {work}\nsent away {self.sent_away.total()} times\n"
            f"before: {self.before}\npeak:   {self.peak}\nafter:  {self.after}\nfailures: {len(self.failures)}"
        )


def soak(url: str, pid: int, *, clients: int, seconds: float, seed: int = 0) -> Report:
    """Let clients work for some seconds, and see what comes of it.

    Raises:
        AssertionError: a client hangs.
    """
    known = Known()
    _ingest(url, known)
    done, sent_away, failures = Counter[str](), Counter[str](), list[str]()
    lock = threading.Lock()

    def work_until(end_s: float, client: Client) -> None:
        while time.monotonic() < end_s:
            work = client.next_work()
            try:
                work()
            except BaseException as error:  # pytest's own are no Exceptions
                with lock:
                    if is_busy(error):
                        sent_away[work.__name__] += 1
                    else:
                        failures.append(f"{work.__name__}: {traceback.format_exc()}")
            with lock:
                done[work.__name__] += 1

    def work_for(some_seconds: float, first_seed: int) -> None:
        end_s = time.monotonic() + some_seconds
        threads = [
            threading.Thread(target=work_until, args=(end_s, Client(url, known, first_seed + number)), daemon=True)
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end_s + HANG_S - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads), "a client hangs"

    # Everybody does something first, so that all that is kept for later is there.
    work_for(min(20.0, seconds / 4), seed)
    before = _settled(pid)
    looks = [before]
    watching = threading.Thread(target=_watch, args=(pid, time.monotonic() + seconds, looks))
    watching.start()
    work_for(seconds, seed + clients)
    watching.join()
    return Report(before, most(looks), _settled(pid), done, sent_away, failures)


def _ingest(url: str, known: Known) -> None:
    with flightsrv.client.connect(url) as client:
        for name, (threads, spans_per_thread) in SHAPES.items():
            tables, known.spans[name] = recording(name, threads=threads, spans_per_thread=spans_per_thread)
            for table, batch in tables:
                client.ingest(table, pa.Table.from_batches([batch]))


def _watch(pid: int, end_s: float, looks: list[Taken]) -> None:
    while time.monotonic() < end_s:
        looks.append(look(pid))
        time.sleep(0.5)


def _settled(pid: int) -> Taken:
    """What the server takes when it has noticed that nobody is there any more."""
    time.sleep(3)
    return look(pid)
