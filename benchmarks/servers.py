"""Server processes to measure, and what a client sees of them."""

import hashlib
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

import flightsrv.client
from benchmarks.lakes import WARM_UP
from flightsrv.client import QueryClient

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
_LISTENING = "listening on "


class ServerDied(Exception):
    """A server did not start; the message has what it logged."""


class WrongTrace(Exception):
    """A server gave something else than what is in its lake, so its speed is of no interest."""


@dataclass(frozen=True)
class TimedTrace:
    """A trace as it came to the client. Times count from the moment the client asked.

    The time that the server and its workers computed, unlike those, does not depend on what else the machine does.
    """

    first_chunk_ms: float
    complete_ms: float
    server_cpu_ms: float
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Server:
    """A running server with a client connected to it."""

    pid: int
    client: QueryClient
    url: str

    def trace(self, process_id: str) -> TimedTrace:
        """Ask for the whole trace of a process, and keep it until it is complete."""
        pids = [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]
        begin_cpu_ns = {pid: _cpu_ns(pid) for pid in pids}
        begin_ns = time.perf_counter_ns()
        with self.client.trace_chunks(process_id) as stream:
            chunks = [next(stream)]
            first_chunk_ns = time.perf_counter_ns()
            chunks.extend(stream)
        complete_ns = time.perf_counter_ns()
        cpu_ns = sum(max(0, _cpu_ns(pid) - before_ns) for pid, before_ns in begin_cpu_ns.items())
        digest = hashlib.blake2b(digest_size=16)
        for chunk in chunks:
            digest.update(chunk)
        return TimedTrace(
            (first_chunk_ns - begin_ns) / 1e6,
            (complete_ns - begin_ns) / 1e6,
            cpu_ns / 1e6,
            sum(map(len, chunks)),
            digest.hexdigest(),
        )

    def check_spans(self, process_id: str, spans: int) -> None:
        """Raise WrongTrace unless a process has so many spans."""
        table = self.client.query(f"SELECT count(*) AS spans FROM process_spans('{process_id}', 'thread')")
        found = table["spans"][0].as_py()
        if found != spans:
            raise WrongTrace(f"process {process_id} shows {found} spans, expected {spans}")

    def peak_memory_bytes(self) -> int:
        """The most memory that the server ever had resident; its workers plan a trace, and see nothing of it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak_kib) * 1024


def _cpu_ns(pid: int) -> int:
    """The time that a process has computed; 0 if it has ended."""
    try:
        # What clock_getcpuclockid(3) gives for a process: Linux makes the clock's number from that of the process.
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return 0


@contextmanager
def flightsrv_server(lake: Path) -> Iterator[Server]:
    """`flightsrv serve` on a lake, as users run it."""
    with _running(["flightsrv", "serve", "--lake", str(lake), "--host", "127.0.0.1", "--port", "0"], lake) as server:
        yield server


@contextmanager
def slow_server(lake: Path, latency_ms: float, *, one_at_a_time: bool) -> Iterator[Server]:
    """A server whose object store takes so much longer for each request."""
    command = ["benchmarks.slow_server", "--lake", str(lake), "--latency-ms", str(latency_ms)]
    with _running(command + ["--one-at-a-time"] * one_at_a_time, lake) as server:
        yield server


def check_equal(traces: Sequence[TimedTrace]) -> None:
    """Raise WrongTrace unless the same lake gave the same bytes every time."""
    if len({trace.digest for trace in traces}) > 1:
        raise WrongTrace(f"the same lake gave different traces, of {sorted({t.size_bytes for t in traces})} bytes")


def median_cpu_ms(traces: Sequence[TimedTrace]) -> dict[str, float]:
    """What to tell beside the time of traces."""
    return {"server CPU ms": statistics.median(trace.server_cpu_ms for trace in traces)}


@contextmanager
def listening(module: Sequence[str], log: Path) -> Iterator[tuple[str, int]]:
    """A module of Python with its arguments, run until the block ends: the URL where it listens, as it has printed it,
    and its process id. What it logs goes to a file.

    Raises:
        ServerDied: it does not listen.
    """
    with log.open("ab") as sink:
        process = subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.PIPE, stderr=sink, text=True)
    try:
        yield _url(process, log), process.pid
    finally:
        _stop(process)


@contextmanager
def _running(module: Sequence[str], lake: Path) -> Iterator[Server]:
    """A server with its code loaded, which knows nothing of the process to measure; stopped afterwards."""
    with listening(module, lake.with_name("server.log")) as (url, pid), flightsrv.client.connect(url) as client:
        server = Server(pid, client, url)
        server.trace(WARM_UP)
        yield server


def _url(process: "subprocess.Popen[str]", log: Path) -> str:
    """Where it listens, once it does."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    line = process.stdout.readline() if ready else ""
    if not line.startswith(_LISTENING):
        raise ServerDied(
            f"no server after {START_TIMEOUT_S} s or less; it printed {line!r} and logged:\n{log.read_text()}"
        )
    return line.removeprefix(_LISTENING).strip()


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()
