"""Server processes to measure, and what a client sees of them."""

import hashlib
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

import flightsrv.client
from benchmarks.lakes import WARM_UP_ID
from benchmarks.recordings import Window
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
class TakenTrace:
    """A trace with its chunks, which are not looked at as yet: that takes time, too."""

    first_chunk_ms: float
    complete_ms: float
    server_cpu_ms: float
    chunks: Sequence[bytes]

    def looked_at(self) -> TimedTrace:
        digest = hashlib.blake2b(digest_size=16)
        for chunk in self.chunks:
            digest.update(chunk)
        size_bytes = sum(map(len, self.chunks))
        return TimedTrace(self.first_chunk_ms, self.complete_ms, self.server_cpu_ms, size_bytes, digest.hexdigest())


@dataclass(frozen=True)
class StoreUse:
    """What a server had of its object store, by its own count."""

    requests: float
    read_bytes: float
    written_bytes: float

    def __sub__(self, before: "StoreUse") -> "StoreUse":
        return StoreUse(
            self.requests - before.requests,
            self.read_bytes - before.read_bytes,
            self.written_bytes - before.written_bytes,
        )


@dataclass(frozen=True)
class Server:
    """A running server with a client connected to it."""

    pid: int
    client: QueryClient
    url: str

    def trace(self, process_id: str, window: Window | None = None) -> TimedTrace:
        """Ask for the trace of a process, of its whole life or of a window, and keep it until it is complete."""
        return self.take_trace(process_id, window).looked_at()

    def take_trace(self, process_id: str, window: Window | None = None) -> TakenTrace:
        """The same, without a look at what came."""
        begin, end = (None, None) if window is None else (window.begin_ns, window.end_ns)
        before_ns = self._cpu_ns_by_pid()
        begin_ns = time.perf_counter_ns()
        with self.client.trace_chunks(process_id, begin=begin, end=end) as stream:
            chunks = [next(stream)]
            first_chunk_ns = time.perf_counter_ns()
            chunks.extend(stream)
        complete_ns = time.perf_counter_ns()
        return TakenTrace(
            (first_chunk_ns - begin_ns) / 1e6,
            (complete_ns - begin_ns) / 1e6,
            self._cpu_ns_since(before_ns) / 1e6,
            chunks,
        )

    def check_spans(self, process_id: str, spans: int, window: Window | None = None) -> None:
        """Raise WrongTrace unless a process has so many spans of threads, in its whole life or in a window."""
        begin, end = (None, None) if window is None else (window.begin_ns, window.end_ns)
        sql = f"SELECT count(*) AS spans FROM process_spans('{process_id}', 'thread')"
        found = self.client.query(sql, begin=begin, end=end)["spans"][0].as_py()
        if found != spans:
            raise WrongTrace(f"process {process_id} shows {found} spans, expected {spans}")

    def store_use(self) -> StoreUse:
        """Since its start."""
        sql = "SELECT name, sum(value) AS value FROM server_metrics() GROUP BY name"
        values = {row["name"]: row["value"] for row in self.client.query(sql).to_pylist()}
        return StoreUse(
            *(values[f"flightsrv_store_{name}_total"] for name in ("requests", "read_bytes", "written_bytes"))
        )

    def cpu_seconds(self) -> float:
        """The time that the server and its workers have computed."""
        return self._cpu_ns_since({}) / 1e9

    def peak_memory_bytes(self) -> int:
        """The most memory that the server ever had resident; its workers plan a trace, and see nothing of it."""
        return peak_memory_bytes(self.pid)

    def memory_bytes(self) -> int:
        """What the server and its workers have of the memory of the machine (PSS: pages that several of them have are
        counted once)."""
        return sum(psutil.Process(pid).memory_full_info().pss for pid in self.pids())

    def pids(self) -> list[int]:
        """Of the server, which is the first, and of its workers."""
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]

    def _cpu_ns_by_pid(self) -> dict[int, int]:
        return {pid: cpu_ns(pid) for pid in self.pids()}

    def _cpu_ns_since(self, before_ns: Mapping[int, int]) -> int:
        return sum(max(0, ns - before_ns.get(pid, 0)) for pid, ns in self._cpu_ns_by_pid().items())


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak_kib) * 1024


def cpu_ns(pid: int) -> int:
    """The time that a process has computed; 0 if it has ended."""
    try:
        # What clock_getcpuclockid(3) gives for a process: Linux makes the clock's number from that of the process.
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return 0


@contextmanager
def flightsrv_server(lake: Path, *options: str, warm_up: bool = True) -> Iterator[Server]:
    """`flightsrv serve` on a lake, as users run it, with these options besides; see `serving`."""
    arguments = ["--lake", str(lake), *options]
    with serving(["flightsrv"], arguments, lake.with_name("server.log"), warm_up=warm_up) as server:
        yield server


@contextmanager
def serving(
    module: Sequence[str],
    arguments: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    warm_up: bool = True,
) -> Iterator[Server]:
    """A server on a free port, stopped when the block ends; `module` with its own arguments runs `flightsrv`.

    With `warm_up` it has made the trace of the tiny process: its code is loaded, and it knows nothing of the others.
    """
    command = [*module, "serve", "--host", "127.0.0.1", "--port", "0", *arguments]
    with listening(command, log, environment) as (url, pid), flightsrv.client.connect(url) as client:
        server = Server(pid, client, url)
        if warm_up:
            server.trace(WARM_UP_ID)
        yield server


@contextmanager
def listening(
    module: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """A module of Python with its arguments, run until the block ends: the URL where it listens, as it has printed it,
    and its process id. What it logs goes to a file.

    Args:
        environment: variables beside those of this process.

    Raises:
        ServerDied: it does not listen.
    """
    process = _started(module, log, environment or {})
    try:
        yield _url(process, log), process.pid
    finally:
        _stop(process)


def _started(module: Sequence[str], log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", *module]
    with log.open("ab") as sink:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=sink, text=True, env={**os.environ, **environment}
        )


def check_equal(traces: Sequence[TimedTrace]) -> None:
    """Raise WrongTrace unless the same lake gave the same bytes every time."""
    if len({trace.digest for trace in traces}) > 1:
        raise WrongTrace(f"the same lake gave different traces, of {sorted({t.size_bytes for t in traces})} bytes")


def median_cpu_ms(traces: Sequence[TimedTrace]) -> dict[str, float]:
    """What to tell beside the time of traces."""
    return {"server CPU ms": statistics.median(trace.server_cpu_ms for trace in traces)}


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
