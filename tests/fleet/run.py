"""A fleet for a while, and what it shows."""

import hashlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flightsrv.client
from flightsrv.client import FlightsrvError
from tests.fleet.parts import BUCKET, Program, Recorded, Server, dask, postgresql, s3, stopping

NB_WORKERS = 2
STATUS_EVERY_S = 2.0
KILL_AFTER_S = 30.0
"""When a server is killed, in a fleet that runs until it is told to stop."""

_STATUS = """SELECT count(DISTINCT process_id) AS processes, count(*) AS blocks,
  coalesce(sum(nb_objects), 0) AS events FROM blocks"""

_SLOWEST = """SELECT name, count(*) AS spans, round(approx_percentile_cont(duration, 0.5) / 1e6, 2) AS p50_ms,
  round(approx_percentile_cont(duration, 0.99) / 1e6, 2) AS p99_ms, count(DISTINCT process_id) AS processes
  FROM spans('thread') GROUP BY name ORDER BY p99_ms DESC"""

_SPANS = "SELECT process_id, count(*) AS spans FROM spans('thread') GROUP BY process_id"

_BUILT = "SELECT sum(value) AS n FROM server_metrics() WHERE name = 'flightsrv_partition_build_seconds_count'"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What there is in the end.

    Attributes:
        recorded: by the programs' own count.
        failures: what should be there, and is not.
    """

    recorded: Sequence[Recorded]
    failures: Sequence[str]


def run_fleet(tell: Tell, seconds: float | None, nb_programs: int = 10) -> Outcome:
    """Run a fleet for some seconds, or until Ctrl-C or SIGTERM. Half way, a server is killed and started again.

    Raises:
        FleetFailed: a part of it does not start.
    """
    with _stop_at_signals(), tempfile.TemporaryDirectory(prefix="flightsrv-fleet-") as name:
        folder = Path(name)
        tell(f"logs are in {folder} as long as this runs")
        with postgresql() as database, s3(folder) as access, dask(folder, access, NB_WORKERS) as cluster:
            tell("PostgreSQL, a simulator of S3, and a Dask scheduler with two workers are there")
            options = ["--lake", f"s3://{BUCKET}/lake", "--db", database, "--builders", cluster.builders]
            servers = [Server(f"server {number}", folder, access, *options) for number in (1, 2)]
            with stopping(servers):
                for server in servers:
                    server.wait_until_ready()
                    tell(f"{server.name}: {server.url}, page {server.http_url}")
                programs = [
                    Program(f"program {number}", folder, servers[number % 2].http_url)
                    for number in range(1, nb_programs + 1)
                ]
                with stopping(programs):
                    tell(f"{nb_programs} programs send, every second one to the other server")
                    try:
                        _look_on(tell, servers, seconds)
                    except KeyboardInterrupt:
                        tell("told to stop")
                return _check(tell, servers, [program.recorded() for program in programs])


@contextmanager
def _stop_at_signals() -> Iterator[None]:
    """SIGTERM is as Ctrl-C, which a shell has ignored by what it starts in the background."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_on(tell: Tell, servers: Sequence[Server], seconds: float | None) -> None:
    begin_s = time.monotonic()
    kill_s = begin_s + (KILL_AFTER_S if seconds is None else seconds / 2)
    end_s = None if seconds is None else begin_s + seconds
    has_killed = False
    while end_s is None or time.monotonic() < end_s:
        time.sleep(min(STATUS_EVERY_S, kill_s - begin_s))
        _tell_status(tell, servers[0], time.monotonic() - begin_s)
        if not has_killed and time.monotonic() >= kill_s:
            has_killed = True
            servers[1].kill()
            tell(f"{servers[1].name} was killed; its programs keep what they record")
            servers[1].start()
            servers[1].wait_until_ready()
            tell(f"{servers[1].name} is there again")


def _tell_status(tell: Tell, server: Server, after_s: float) -> None:
    try:
        with flightsrv.client.connect(server.url) as client:
            (row,) = client.query(_STATUS).to_pylist()
    except FlightsrvError as error:
        tell(f"{after_s:4.0f} s: {server.name} does not answer: {error}")
        return
    tell(f"{after_s:4.0f} s: {row['processes']} processes, {row['events']:,} events in {row['blocks']:,} blocks")


def _check(tell: Tell, servers: Sequence[Server], recorded: Sequence[Recorded]) -> Outcome:
    """Compare what the servers show with what the programs have recorded, and with each other."""
    failures = [f"process {each.process_id} could not send {each.unsent} spans" for each in recorded if each.unsent]
    expected = {each.process_id: each.spans for each in recorded}
    tell(f"the programs have recorded {sum(expected.values()):,} spans")
    digests = []
    for server in servers:
        with flightsrv.client.connect(server.url) as client:
            begin_s = time.monotonic()
            found = {row["process_id"]: row["spans"] for row in client.query(_SPANS).to_pylist()}
            tell(f"{server.name} shows {sum(found.values()):,} after {time.monotonic() - begin_s:.1f} s")
            if found != expected:
                failures.append(f"{server.name} shows other spans than were recorded: {found}, expected {expected}")
            begin_s = time.monotonic()
            digest, size_bytes = hashlib.blake2b(), 0
            with client.trace_chunks(list(expected)) as chunks:
                for chunk in chunks:
                    digest.update(chunk)
                    size_bytes += len(chunk)
            digests.append(digest.digest())
            tell(
                f"{server.name}: a trace of all of them, {size_bytes / 1e6:.1f} MB, {time.monotonic() - begin_s:.1f} s"
            )
            (built,) = client.query(_BUILT).to_pylist()
            tell(f"{server.name} had {built['n'] or 0:.0f} partitions made by Dask's workers")
        if "its work is done here" in server.log.read_text(errors="replace"):
            failures.append(f"{server.name} was left without builders, see its log")
    if len(set(digests)) != 1:
        failures.append("the two servers make different traces")
    with flightsrv.client.connect(servers[0].url) as client:
        tell(f"every function of all processes, by\n{_SLOWEST}")
        for row in client.query(_SLOWEST).to_pylist():
            tell(
                "  {name:<20} {spans:>8} spans, p50 {p50_ms:>8} ms, p99 {p99_ms:>8} ms, {processes} processes".format(
                    **row
                )
            )
    return Outcome(recorded, failures)
