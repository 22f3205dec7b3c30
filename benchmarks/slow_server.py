"""A server whose object store is slow: `python -m benchmarks.slow_server --lake DIR --latency-ms 50 [--one-at-a-time]`.

Like `flightsrv serve` otherwise; the metadata database is as fast as ever.
"""

import signal
import threading
from pathlib import Path

import click

from benchmarks.latency import slow_lake
from flightsrv.server.call import Services
from flightsrv.server.handles import BoundParameters
from flightsrv.server.lifecycle import RunningServer, ServerSettings
from udtf.lake.settings import LakeSettings
from udtf.settings import QuerySettings
from udtf.sql.engine import QueryEngine


@click.command()
@click.option("--lake", "folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--latency-ms", required=True, type=float, help="How much longer each request takes.")
@click.option("--one-at-a-time", is_flag=True, help="Build one partition, and scan one thread, at a time.")
def serve(folder: Path, latency_ms: float, one_at_a_time: bool) -> None:
    """Serve a lake on a free port until told to stop."""
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    lake = slow_lake(folder, latency_ms / 1e3, LakeSettings(max_builds=1 if one_at_a_time else None))
    engine = QueryEngine(lake, QuerySettings(max_scans=1) if one_at_a_time else QuerySettings())
    server = RunningServer(Services(engine, lake, BoundParameters()), "127.0.0.1", 0, ServerSettings())
    click.echo(f"listening on {server.url}")
    told_to_stop.wait()
    server.stop()


if __name__ == "__main__":
    serve()
