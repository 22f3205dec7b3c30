"""`flightsrv import-chrome`: a Chrome JSON trace file into the lake."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from flightsrv.cli.interrupt import run_interruptibly
from flightsrv.cli.options import ServerAddress, server_options

if TYPE_CHECKING:
    from flightsrv.client import QueryClient
    from flightsrv.importers.chrome import ChromeTrace
    from flightsrv.telemetry import Block

_REQUEST_BYTES = 4 << 20
"""Payloads that travel in one record batch, which the server stores whole or not at all."""
_REQUEST_ROWS = 5_000
"""Rows that do; a server takes twice as many."""

_Row = TypeVar("_Row")


@click.command(
    "import-chrome", epilog="Example: viztracer -o result.json program.py && flightsrv import-chrome result.json"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--start-time",
    metavar="TIME",
    help="Time of the timestamp 0 in the file. Default: what the file says, or else 1970-01-01T00:00:00Z.",
)
@server_options
def import_chrome(file: Path, start_time: str | None, server: ServerAddress) -> None:
    """Import a Chrome JSON trace, as viztracer and many profilers write it.

    Prints the ids of its processes, one per line, which `flightsrv trace` takes. What of the file cannot be used is
    left out and counted. Importing a file twice stores it once.
    """
    from flightsrv.client import InvalidRequest
    from flightsrv.client.times import time_ns
    from flightsrv.importers.chrome import read_chrome_trace

    time_zero_ns = None if start_time is None else time_ns(start_time, "--start-time")
    if time_zero_ns is not None and time_zero_ns < 0:
        raise InvalidRequest(f"--start-time must not lie before 1970, where traces begin, given: {start_time}")
    with server.connect() as client:
        trace = read_chrome_trace(file, time_zero_ns)
        run_interruptibly(lambda: send(trace, client), client.close)
    for line in trace.findings.describe():
        click.echo(line, err=True)
    for process in trace.processes:
        click.echo(process.process_id)
    if not trace.findings.spans:
        raise click.ClickException(f"there are no spans in {file}")


def send(trace: "ChromeTrace", client: "QueryClient") -> None:
    """Send all telemetry of a file, in as many requests as a server takes."""
    from flightsrv.telemetry import blocks_batch, processes_batch, streams_batch

    for processes in _parts(trace.processes):
        client.ingest("processes", processes_batch(processes))
    for streams in _parts(trace.streams):
        client.ingest("streams", streams_batch(streams))
    for blocks in _requests(trace.blocks()):
        client.ingest("blocks", blocks_batch(blocks))


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), _REQUEST_ROWS):
        yield rows[start : start + _REQUEST_ROWS]


def _requests(blocks: "Iterable[Block]") -> "Iterator[list[Block]]":
    """Blocks in groups of a reasonable size."""
    group: list[Block] = []
    size_bytes = 0
    for block in blocks:
        group.append(block)
        size_bytes += block.size_bytes
        if size_bytes >= _REQUEST_BYTES or len(group) == _REQUEST_ROWS:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group
