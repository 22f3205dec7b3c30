"""`flightsrv trace`: a process's Perfetto trace as a file."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from flightsrv.cli.interrupt import run_interruptibly
from flightsrv.cli.options import ServerAddress, range_options, server_options
from flightsrv.cli.text import printable

if TYPE_CHECKING:
    from flightsrv.client import QueryClient, TraceProgress, TraceResult
    from flightsrv.client.traces import ProgressCallback, TraceStream

STDOUT = "-"
VIEWER = "https://ui.perfetto.dev"


@click.command(
    epilog="Example: flightsrv trace 7f9c24e8-3b1a-4f0e-9d53-0c2b6a1e4d77 -o minute.pftrace "
    "--begin 2026-01-01T10:00:00Z --end 2026-01-01T10:01:00Z, or flightsrv trace 7f9c -o minute.pftrace --last 60s"
)
@click.argument("process_ids", metavar="PROCESS_ID...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="Output file, which appears when the trace is complete; - for standard output.",
)
@range_options
@click.option(
    "--span-types",
    type=click.Choice(["thread", "async", "both", "all"]),
    default="all",
    show_default=True,
    help="Spans to include; all: logs and counters as well.",
)
@click.option("--children", is_flag=True, help="With the processes that they started, that these started, and so on.")
@click.option("--strict", is_flag=True, help="Fail if any thread cannot be read, instead of leaving it out.")
@server_options
def trace(
    process_ids: tuple[str, ...],
    output: str,
    begin: int | None,
    end: int | None,
    span_types: str,
    children: bool,
    strict: bool,
    server: ServerAddress,
) -> None:
    """Write the Perfetto trace of a process, or of several together, to a file that ui.perfetto.dev opens.

    `flightsrv processes` lists the process ids, and `flightsrv import-chrome` prints those that it made; the first
    characters are enough where no other id has the same. Threads that cannot be read are missing, with a warning; the
    command fails if that leaves no spans.
    """
    from flightsrv.client.traces import write_trace

    # `"$(flightsrv import-chrome FILE)"` in quotes is one argument, whatever the number of ids in it.
    of_processes = [process_id for argument in process_ids for process_id in argument.split()]
    if not of_processes:
        raise click.UsageError("no process id was given")
    with server.connect() as client, _progress_display() as show:

        def fetch() -> "tuple[TraceResult, str | None]":
            shown = client.with_children(of_processes) if children else of_processes
            with client.trace_chunks(
                shown, begin=begin, end=end, span_types=span_types, strict=strict, progress=show
            ) as chunks:
                result = _write_to_stdout(chunks) if output == STDOUT else write_trace(chunks, output)
            is_empty_range = not result.nb_spans and not result.failed_threads and (begin, end) != (None, None)
            return result, _when_there_is_data(client, shown) if is_empty_range else None

        result, data = run_interruptibly(fetch, client.close)
    if data:
        click.echo(f"Warning: there are no spans in this time; {data}.", err=True)
    for failed in result.failed_threads:
        click.echo(printable(f"Warning: thread {failed.stream_id} is missing: {failed.message}"), err=True)
    if result.lost_events:
        click.echo(f"Warning: {result.lost_events:,} events were lost; the trace shows where.", err=True)
    if result.dropped_spans:
        click.echo(
            f"Warning: {result.dropped_spans:,} spans were dropped while recording, for lack of memory; the trace "
            "shows where.",
            err=True,
        )
    if output != STDOUT:
        from rich.filesize import decimal

        click.echo(f"Wrote {output} ({decimal(result.size_bytes)}). Open {VIEWER} and drop the file there.")
    if result.failed_threads and not result.nb_spans:
        raise click.ClickException("the trace has no spans: no thread that has some could be read")


def _when_there_is_data(client: "QueryClient", process_ids: Sequence[str]) -> str | None:
    """From when to when processes have events, in words; None if they have none, or the server is gone by now."""
    from flightsrv.client import FlightsrvError
    from flightsrv.client.process_ids import whole_process_id
    from flightsrv.client.times import rfc3339, time_ns

    ids = ", ".join(f"${number}" for number in range(1, len(process_ids) + 1))
    sql = f"SELECT min(begin_time) AS begin, max(end_time) AS end FROM blocks WHERE process_id IN ({ids})"
    try:
        whole_ids = [whole_process_id(client.query, process_id) for process_id in process_ids]
        begin, end = client.query(sql, whole_ids).to_struct_array().combine_chunks()[0].values()
    except FlightsrvError:
        return None
    if not begin.is_valid:
        return None
    what = "the process has" if len(process_ids) == 1 else "the processes have"
    return f"{what} data from {rfc3339(time_ns(begin, 'begin'))} to {rfc3339(time_ns(end, 'end'))}"


def _write_to_stdout(chunks: "TraceStream") -> "TraceResult":
    sink = sys.stdout.buffer
    sink.writelines(chunks)
    sink.flush()
    return chunks.result


@contextmanager
def _progress_display() -> "Iterator[ProgressCallback | None]":
    """A progress bar on stderr while in its block, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[come]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as display:
        task = display.add_task("Waiting for the server", total=None, come="")

        def show(progress: "TraceProgress") -> None:
            display.update(
                task,
                description=printable(progress.message) or "Waiting for the server",
                completed=progress.threads_done or 0,
                # Without threads there is nothing to count: the bar only shows that something goes on.
                total=progress.threads_total or None,
                come=f"{progress.nb_spans:,} spans, {decimal(progress.size_bytes)}",
            )

        yield show
