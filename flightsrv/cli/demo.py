"""`flightsrv demo`: a program recorded, served, and written as a trace."""

import signal
import sys
from pathlib import Path
from types import FrameType

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog="Example: flightsrv demo --output demo.pftrace")
@click.option(
    "-o",
    "--output",
    type=_FILE,
    default="demo.pftrace",
    show_default=True,
    help="Output file.",
)
@click.option(
    "--lake",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the lake. Default: a temporary one, which is removed at the end.",
)
@click.option(
    "--spans",
    type=click.IntRange(1),
    default=120_000,
    show_default=True,
    help="Number of spans to record, at least.",
)
@click.option("--keep-serving", is_flag=True, help="Keep the server running until Ctrl-C.")
@click.option("--ledger", type=_FILE, help="Also write what was recorded to this file, to compare it with the trace.")
def demo(output: Path, lake: Path | None, spans: int, keep_serving: bool, ledger: Path | None) -> None:
    """Record a real program of more than fifty threads, and write its trace.

    Starts a server on a free port, records a program that parses, compresses, hashes and stores the standard library
    of Python, and asks the server for the trace and for one answer in SQL. Takes about ten seconds.
    """
    from flightsrv.demo.steps import DemoOptions, run_demo

    if not output.resolve().parent.is_dir():
        raise click.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    # These would end the program at once, and leave the server behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    run_demo(DemoOptions(output, lake, spans, keep_serving, ledger), click.echo)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
