"""`flightsrv import-chrome`: a Chrome JSON trace file into the lake."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flightsrv.cli.interrupt import run_interruptibly
from flightsrv.cli.options import ServerAddress, server_options

if TYPE_CHECKING:
    from flightsrv.chrome import ChromeTrace, Findings
    from flightsrv.client import QueryClient
    from flightsrv.telemetry import Block

_REQUEST_BYTES = 4 << 20
"""Payloads that travel in one record batch, which the server stores whole or not at all."""


@click.command(
    "import-chrome", epilog="Example: viztracer -o result.json program.py && flightsrv import-chrome result.json"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--start-time",
    metavar="TIME",
    default="1970-01-01T00:00:00Z",
    show_default=True,
    help="Time of the timestamp 0 in the file.",
)
@server_options
def import_chrome(file: Path, start_time: str, server: ServerAddress) -> None:
    """Import a Chrome JSON trace, as viztracer and many profilers write it.

    Prints the ids of its processes, one per line. Importing a file twice stores it once.
    """
    from flightsrv.chrome import read_chrome_trace
    from flightsrv.client import InvalidRequest
    from flightsrv.client.times import time_ns

    time_zero_ns = time_ns(start_time, "--start-time")
    if time_zero_ns < 0:
        raise InvalidRequest(f"--start-time must not lie before 1970, where traces begin, given: {start_time}")
    with server.connect() as client:
        trace = read_chrome_trace(file, time_zero_ns)
        run_interruptibly(lambda: _send(trace, client), client.close)
    for line in describe(trace.findings):
        click.echo(line, err=True)
    for process in trace.processes:
        click.echo(process.process_id)
    if not trace.findings.spans:
        raise click.ClickException(f"there are no spans in {file}")


def _send(trace: "ChromeTrace", client: "QueryClient") -> None:
    from flightsrv.telemetry import blocks_batch, processes_batch, streams_batch

    if not trace.processes:
        return
    client.ingest("processes", processes_batch(trace.processes))
    if trace.streams:
        client.ingest("streams", streams_batch(trace.streams))
    for blocks in _requests(trace.blocks()):
        client.ingest("blocks", blocks_batch(blocks))


def _requests(blocks: "Iterable[Block]") -> "Iterator[list[Block]]":
    """Blocks in groups of a reasonable size."""
    group: list[Block] = []
    size_bytes = 0
    for block in blocks:
        group.append(block)
        size_bytes += block.size_bytes
        if size_bytes >= _REQUEST_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def describe(findings: "Findings") -> Iterator[str]:
    """What a user should know about an import, in lines."""
    yield f"Imported {_count(findings.spans, 'span')}."
    if findings.unfinished:
        yield f"{_count(findings.unfinished, 'span')} without an end will show as unfinished."
    if findings.unmatched_ends:
        yield f"{_count(findings.unmatched_ends, 'end')} without a begin left out."
    if findings.overlapping:
        yield (
            f"{_count(findings.overlapping, 'span')} overlapping others of the same thread in part: "
            "shown as further threads named '(overlap N)'."
        )
    if findings.with_arguments:
        yield f"Arguments of {_count(findings.with_arguments, 'event')} left out: spans have none here."
    for phase, number in sorted(findings.ignored.items()):
        yield f"{_count(number, 'event')} of phase {phase} left out: not a span."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
