"""What does tracing cost a web application under load? `python -m benchmarks.web_requests [ROUNDS]`

A FastAPI application, run by uvicorn in a program of its own, is asked by eight connections of a client
(`http.client`), each as fast as it is answered. There is such a program for each way of tracing, and they take turns,
so that what else the machine does hits all of them; figures are those of each round as a multiple of the first way's,
and of these the medians. The telemetry goes by HTTP to a program that stores nothing; none may be dropped.

Processor time is that of the application's process, with whatever encodes and sends in its background until all is
sent. Needs Linux. Prints a table.
"""

import http.client
import http.server
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import Process
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from flightsrv import tracing
from flightsrv.tracing.integrations.asgi import TracingMiddleware
from tests.support.ports import free_port

NB_CONNECTIONS = 8
NB_REQUESTS = 3_000
"""Of all connections, in one round: some seconds, within which the sender comes by."""
NB_WARM_UP = 300
_START_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)


class Line(BaseModel):
    """Of an order, as it is answered."""

    product: str
    amount: int
    price: float


class Order(BaseModel):
    """An order, as it is answered."""

    number: int
    user: str
    lines: list[Line]
    total: float


class _Shop:
    """What the application does for a request: some hundred calls without a wait. `way` may trace any of it."""

    def user_of(self, number: int) -> str:
        return f"user {number % 97}"

    def lines_of(self, number: int) -> list[Line]:
        return [self.line_of(number, position) for position in range(10)]

    def line_of(self, number: int, position: int) -> Line:
        return Line(product=self.product(number + position), amount=position + 1, price=self.price(number, position))

    def product(self, number: int) -> str:
        return f"product {number % 1009}"

    def price(self, number: int, position: int) -> float:
        return (number * 7 + position * 13) % 1000 / 10

    def total(self, lines: list[Line]) -> float:
        return sum(self.of_line(line) for line in lines)

    def of_line(self, line: Line) -> float:
        return line.amount * line.price


_shop = _Shop()
app = FastAPI()


@app.get("/orders/{number}")
async def order(number: int) -> Order:
    """What is asked for under load; two lines of the log."""
    _log.info("order %d is asked for", number)
    user, lines = _shop.user_of(number), _shop.lines_of(number)
    total = _shop.total(lines)
    _log.info("order %d has %d lines", number, len(lines), extra={"user": user, "total": total})
    return Order(number=number, user=user, lines=lines, total=total)


@app.post("/flush")
def flush() -> dict[str, object]:
    """Sends all that was recorded; says what became of it."""
    is_sent = tracing.flush()
    found = tracing.statistics()
    lost = found.dropped_spans + found.dropped_entries + found.refused_events + found.misplaced_ends
    return {"is_sent": is_sent, "sent_events": found.sent_events, "lost": lost}


def _trace_spans() -> None:
    """The request, by the middleware, and thirteen spans within it, ten of them with attributes."""
    app.add_middleware(TracingMiddleware)
    for name in ("user_of", "lines_of", "line_of", "total"):
        setattr(_shop, name, tracing.traced(arguments=name == "line_of")(getattr(_shop, name)))


class Way(NamedTuple):
    """A way of tracing the application: what is called before it starts, and whether anything is recorded at all."""

    prepare: Callable[[], object]
    is_recording: bool = True
    has_vitals: bool = False


def _with_logs() -> None:
    _trace_spans()
    logging.getLogger().addHandler(tracing.LogHandler())


def _calls(*patterns: str) -> Callable[[], None]:
    def prepare() -> None:
        app.add_middleware(TracingMiddleware)
        tracing.trace_modules(*patterns)

    return prepare


WAYS = {
    "without": Way(lambda: None, is_recording=False),
    "the middleware, nothing recorded": Way(_trace_spans, is_recording=False),
    "the middleware, and spans": Way(_trace_spans),
    "the same, with logs and vital signs": Way(_with_logs, has_vitals=True),
    "the middleware, and every call of the application": Way(_calls("__main__"), has_vitals=True),
    "the middleware, and every call of all modules": Way(_calls("*"), has_vitals=True),
}


def serve(name: str, port: int, receiver: str) -> None:
    """The program of a way of tracing. Whatever is recorded, the log also goes where the logs of programs go."""
    way = WAYS[name]
    with ExitStack() as stack:
        root = logging.getLogger()
        root.setLevel(logging.INFO)
        root.addHandler(logging.StreamHandler(stack.enter_context(Path(os.devnull).open("w"))))
        if way.is_recording:
            settings = tracing.Settings(vitals_every_s=1.0 if way.has_vitals else None)
            stack.enter_context(tracing.start(receiver, settings=settings))
        way.prepare()
        uvicorn.run(app, port=port, log_config=None, access_log=False)


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Takes everything, and stores nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _receive(port: int) -> None:
    http.server.ThreadingHTTPServer(("127.0.0.1", port), _Receiver).serve_forever()


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

    def __init__(self, name: str, receiver: str) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "benchmarks.web_requests", name, str(self._port), receiver]
        self._process = subprocess.Popen(command)
        self._events = 0
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._ask(NB_WARM_UP // NB_CONNECTIONS, [])
                break
            except ConnectionError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._flush()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def peak_bytes(self) -> int:
        """Of memory, since its start."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def measure(self) -> Round:
        before_s, before_events = self._cpu_s(), self._events
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
            1e6 * (self._cpu_s() - before_s) / len(took_s),
            (self._events - before_events) / len(took_s),
        )

    def _ask(self, nb_requests: int, took_s: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
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
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("POST", "/flush")
        found = json.loads(connection.getresponse().read())
        connection.close()
        if not found["is_sent"] or found["lost"]:
            raise RuntimeError(f"not everything was recorded: {found}")
        self._events = found["sent_events"]

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _receiver() -> Iterator[str]:
    """The URL of a program that stores nothing."""
    port = free_port()
    process = Process(target=_receive, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join()


def compare(nb_rounds: int) -> None:
    """Print a table: medians of the rounds, and of what they are as a multiple of the first way's."""
    with ExitStack() as stack:
        receiver = stack.enter_context(_receiver())
        programs = {}
        for name in WAYS:
            programs[name] = _Application(name, receiver)
            stack.callback(programs[name].stop)
        rounds = [{name: program.measure() for name, program in programs.items()} for _ in range(nb_rounds)]
        peaks = {name: program.peak_bytes for name, program in programs.items()}
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
    if len(sys.argv) == 4:
        serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        compare(int(sys.argv[1]) if len(sys.argv) == 2 else 7)
