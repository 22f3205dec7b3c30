"""The web application that `web_requests` asks: `python -m benchmarks.web_application WAY RECEIVER_URL`

Without arguments it is the receiver, which stores nothing. It loads nothing of the other benchmarks, as they would have
a share in its memory.
"""

import http.server
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from flightsrv import tracing
from flightsrv.tracing.integrations.asgi import TracingMiddleware

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


def serve(name: str, receiver: str) -> None:
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
        # Of a socket without its protocol, asyncio does not know that small answers must not wait.
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        _say_where(listener.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listener])


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Takes everything, and stores nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def receive() -> None:
    """The program that stores nothing."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    _say_where(server.server_port)
    server.serve_forever()


def _say_where(port: int) -> None:
    print(f"listening on http://127.0.0.1:{port}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(*sys.argv[1:])
    else:
        receive()
