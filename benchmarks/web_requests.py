"""What does tracing cost a web application under load? `python -m benchmarks.web_requests [ROUNDS]`

A FastAPI application, run by uvicorn in a program of its own, is asked by eight connections of a client
(`http.client`), each as fast as it is answered. There is such a program for each way of tracing, and they take turns,
so that what else the machine does hits all of them; figures are those of each round as a multiple of the first way's,
and of these the medians. The telemetry goes by HTTP to a program that stores nothing; none may be dropped.

Processor time is that of the application's process, with whatever encodes and sends in its background until all is
sent. Needs Linux. Prints a table.
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.servers import cpu_ns, listening, peak_memory_bytes
from benchmarks.web_application import WAYS

NB_CONNECTIONS = 8
NB_REQUESTS = 3_000
"""Of all connections, in one round: some seconds, within which the sender comes by."""
NB_WARM_UP = 300
_MODULE = "benchmarks.web_application"


class Round(NamedTuple):
    """What one round of a way found."""

    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of a request, with the share of the background."""
    events: float
    """Of a request."""


class _Application:
    """The program of a way of tracing, while it runs."""

    def __init__(self, url: str, pid: int) -> None:
        self._address = urlsplit(url).netloc
        self.pid = pid
        self._events = 0
        self._ask(NB_WARM_UP // NB_CONNECTIONS, [])
        self._flush()

    def measure(self) -> Round:
        before_ns, before_events = cpu_ns(self.pid), self._events
        took_s: list[float] = []
        each = NB_REQUESTS // NB_CONNECTIONS
        threads = [threading.Thread(target=self._ask, args=(each, took_s)) for _ in range(NB_CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(took_s) != each * NB_CONNECTIONS:
            raise RuntimeError("not all requests were answered")
        self._flush()
        took_s.sort()
        return Round(
            1e3 * took_s[len(took_s) // 2],
            1e3 * took_s[len(took_s) * 99 // 100],
            (cpu_ns(self.pid) - before_ns) / 1e3 / len(took_s),
            (self._events - before_events) / len(took_s),
        )

    def _ask(self, nb_requests: int, took_s: list[float]) -> None:
        connection = http.client.HTTPConnection(self._address)
        connection.connect()
        for number in range(nb_requests):
            begin_s = time.perf_counter()
            connection.request("GET", f"/orders/{number}")
            answer = connection.getresponse()
            body = answer.read()
            took_s.append(time.perf_counter() - begin_s)
            if answer.status != 200 or b"total" not in body:
                raise RuntimeError(f"{answer.status}: {body[:200]!r}")
        connection.close()

    def _flush(self) -> None:
        """Have everything sent, and see that it was."""
        connection = http.client.HTTPConnection(self._address)
        connection.request("POST", "/flush")
        found = json.loads(connection.getresponse().read())
        connection.close()
        if not found["is_sent"] or found["lost"]:
            raise RuntimeError(f"not everything was recorded: {found}")
        self._events = found["sent_events"]


def compare(nb_rounds: int) -> None:
    """Print a table: medians of the rounds, and of what they are as a multiple of the first way's."""
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        receiver, _ = stack.enter_context(listening([_MODULE], log))
        programs = {
            name: _Application(*stack.enter_context(listening([_MODULE, name, receiver], log))) for name in WAYS
        }
        rounds = [{name: program.measure() for name, program in programs.items()} for _ in range(nb_rounds)]
        peaks = {name: peak_memory_bytes(program.pid) for name, program in programs.items()}
    (first, *_) = WAYS
    print(
        "| a request | events | p50 | times the first | p99 | times the first | CPU | times the first | MB at most |\n"
        + "| --- " * 9
        + "|"
    )
    for name in WAYS:
        cells = [name, f"{statistics.median(found[name].events for found in rounds):.0f}"]
        for position, unit in ((0, "ms"), (1, "ms"), (2, "us")):
            value = statistics.median(found[name][position] for found in rounds)
            times = statistics.median(found[name][position] / found[first][position] for found in rounds)
            cells += [f"{value:,.1f} {unit}" if unit == "ms" else f"{value:,.0f} {unit}", f"{times:.2f}"]
        print(f"| {' | '.join(cells)} | {peaks[name] / 1e6:.0f} |")


if __name__ == "__main__":
    compare(int(sys.argv[1]) if len(sys.argv) == 2 else 7)
