"""What others notice while somebody does a server harm: `python -m tests.soak.hostile`.

Starts a server with its page beside it, measures how long one small statement takes a polite caller, again and again on
one connection, while nothing else happens, while each harm is done by another process, and afterwards. Prints the
medians.
"""

import itertools
import multiprocessing
import re
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import click

from flightsrv.client import FlightsrvError, QueryClient, connect
from tests.faults.server_process import running_server
from tests.support import http2

STATEMENT = "SELECT count(*) AS n FROM processes"
LONG_STATEMENT = "SELECT " + "1 + " * 25_000_000 + "1"
RESETS = "/arrow.flight.protocol.FlightService/ListActions"

Harm = Callable[[int, int, Event], None]
"""Done to a server at a port, and to its page at another, until it is over."""


def many_clients(port: int, http_port: int, is_over: Event) -> None:
    """Two hundred that have a connection each, and ask once a second."""

    def ask(number: int) -> None:
        with connect(f"grpc://127.0.0.1:{port}") as client:
            while not is_over.wait(1.0):
                with suppress(FlightsrvError):
                    client.check(10.0)

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(ask, range(200)))


def rapid_resets(port: int, http_port: int, is_over: Event) -> None:
    """One connection after the other, whose calls are left as soon as they begin."""
    while not is_over.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(http2.GREETING)
            for number in itertools.count():
                if is_over.is_set() or not http2.is_open(connection):
                    break
                connection.settimeout(5.0)
                connection.sendall(http2.calls_left_at_once(1 + 200 * number, 100, RESETS))


def idle_connections(port: int, http_port: int, is_over: Event) -> None:
    """Eleven hundred, and new ones for those that are closed."""
    _hold(port, 1100, b"", is_over)


def slow_headers(port: int, http_port: int, is_over: Event) -> None:
    """2,048 requests for the page, which never come to their end."""
    _hold(http_port, 2048, b"GET / HTTP/1.1\r\nHost: localhost\r\n", is_over)


def long_statements(port: int, http_port: int, is_over: Event) -> None:
    """Of 100 MB, one after the other."""
    with connect(f"grpc://127.0.0.1:{port}") as client:
        while not is_over.is_set():
            with suppress(FlightsrvError):
                client.query(LONG_STATEMENT)


HARMS: tuple[Harm, ...] = (many_clients, rapid_resets, idle_connections, slow_headers, long_statements)


def _hold(port: int, number: int, said: bytes, is_over: Event) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with ExitStack() as stack:
        held: list[socket.socket] = []
        while not is_over.wait(0.1):
            held = [connection for connection in held if http2.is_open(connection)]
            while len(held) < number and not is_over.is_set():
                with suppress(OSError):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1.0))
                    held.append(connection)
                    connection.sendall(said)


@contextmanager
def done(harm: Harm, port: int, http_port: int) -> Iterator[None]:
    """A harm for the length of a `with` block."""
    spawning = multiprocessing.get_context("spawn")
    is_over = spawning.Event()
    process = spawning.Process(target=harm, args=(port, http_port, is_over))
    process.start()
    try:
        time.sleep(2.0)  # until it has begun
        yield
    finally:
        is_over.set()
        process.join(10)
        process.kill()


def median_ms(client: QueryClient, seconds: float) -> tuple[float, int]:
    """The median time of a statement, and how many failed."""
    times_s: list[float] = []
    nb_failed = 0
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        begin_s = time.monotonic()
        try:
            client.query(STATEMENT, timeout_seconds=60.0)
        except FlightsrvError:
            nb_failed += 1
        times_s.append(time.monotonic() - begin_s)
        time.sleep(0.02)
    return statistics.median(times_s) * 1e3, nb_failed


@click.command()
@click.option("--seconds", default=15.0, show_default=True, help="How long each median is measured.")
def main(seconds: float) -> None:
    """Print what others notice."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            running_server(f"{folder}/lake", None, log, "--http-port", "0") as server,
            connect(server.url) as client,
        ):
            client.query(STATEMENT)
            (http_port,) = re.findall(r"page on \S+:(\d+)", log.read_text())
            print(f"{'harm':20} {'before':>10} {'meanwhile':>10} {'after':>10}  failed  log lines but for queries")
            for harm in HARMS:
                lines = _other_lines(log)
                before_ms, _ = median_ms(client, seconds)
                with done(harm, server.port, int(http_port)):
                    meanwhile_ms, nb_failed = median_ms(client, seconds)
                after_ms, _ = median_ms(client, seconds)
                lines = _other_lines(log) - lines
                print(
                    f"{harm.__name__:20} {before_ms:7.1f} ms {meanwhile_ms:7.1f} ms {after_ms:7.1f} ms {nb_failed:7d} "
                    f"{lines:7d}",
                    flush=True,
                )


def _other_lines(log: Path) -> int:
    return sum(" query " not in line for line in log.read_text().splitlines())


if __name__ == "__main__":
    main()
