"""What the demo does, step by step, and how long each step takes."""

import logging
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from flightsrv import tracing
from flightsrv.client import QueryClient, connect
from flightsrv.demo.archive import ArchiveReport, archive_standard_library
from flightsrv.demo.ledger import LedgerSink
from flightsrv.demo.server_process import serve_lake
from flightsrv.tracing.http import HttpSink, Receiver

SEND_SECONDS = 60.0
"""Longest that the end of the recording may take."""

_SETTINGS = tracing.Settings(send_every_s=0.5, reserve_spans=10_000_000, links=False)

_CONTENT = """
    SELECT
        count(DISTINCT stream_id) FILTER (WHERE array_has(tags, 'thread')) AS threads,
        sum(nb_objects) FILTER (WHERE array_has(tags, 'thread') OR array_has(tags, 'async')) / 2 AS spans,
        coalesce(sum(nb_objects) FILTER (WHERE array_has(tags, 'log')), 0) AS entries,
        coalesce(sum(nb_objects) FILTER (WHERE array_has(tags, 'measure')), 0) AS measures,
        count(*) AS blocks
    FROM streams JOIN blocks USING (stream_id)
    WHERE streams.process_id = $1
"""

_TOP_FUNCTIONS = """SELECT name, count(*) AS spans, sum(duration) AS total_ns
FROM process_spans('{process_id}', 'thread')
WHERE name NOT LIKE 'wait for %'
GROUP BY name ORDER BY total_ns DESC LIMIT 8"""

Tell = Callable[[str], None]


class DemoFailed(Exception):
    """The demo could not show what it is there to show."""


@dataclass(frozen=True)
class DemoOptions:
    """What a caller may choose.

    Attributes:
        output: the trace file.
        lake: a folder that stays; without one, a temporary folder.
        min_spans: the program goes on until it has recorded at least as many.
        keep_serving: whether the server goes on, until interrupted.
        ledger: a file that keeps what was recorded.
    """

    output: Path
    lake: Path | None
    min_spans: int
    keep_serving: bool
    ledger: Path | None


def run_demo(options: DemoOptions, tell: Tell) -> None:
    """Record the program, and write and describe its trace. The server is gone afterwards, whatever happens."""
    with _folder(options.lake) as lake:
        tell(f"Starting a server on the lake {lake}")
        with serve_lake(Path(lake)) as server:
            tell(f"  it listens at {server.url}")
            process_id = _record(server.http_url, options, tell)
            with connect(server.url) as client:
                _write_trace(client, process_id, options.output, tell)
                _query(client, process_id, tell)
            tell(f"Now open https://ui.perfetto.dev and drop {options.output} there.")
            if options.keep_serving:
                tell(f"\nStill serving at {server.url}, until Ctrl-C. Try, for example:")
                tell(f"  flightsrv processes --url {server.url}")
                if server.process.wait() != 0:
                    raise DemoFailed("the server ended by itself")


def _folder(lake: Path | None) -> "tempfile.TemporaryDirectory[str] | nullcontext[str]":
    return tempfile.TemporaryDirectory(prefix="flightsrv-demo-") if lake is None else nullcontext(str(lake))


def _record(url: str, options: DemoOptions, tell: Tell) -> str:
    """Run the program under tracing; returns its process id."""
    tell("Recording a program that indexes, compresses, hashes and stores Python's standard library")
    sink: tracing.Sink = HttpSink(Receiver(url))
    if options.ledger is not None:
        sink = LedgerSink(sink, options.ledger)
    session = tracing.start(sink=lambda: sink, settings=_SETTINGS)
    try:
        with _timed() as recording, _logs_recorded():
            report = archive_standard_library(options.min_spans)
    finally:
        with _timed() as sending:
            is_sent = session.stop(SEND_SECONDS)
    statistics = session.statistics()
    if not is_sent or statistics.dropped_spans or statistics.dropped_entries or statistics.refused_events:
        raise DemoFailed(f"not all that was recorded reached the server: {statistics}")
    for line in _program_lines(report):
        tell(f"  {line}")
    tell(f"  recording took {recording}; sending what was left after it {sending}")
    return session.process_id


@contextmanager
def _logs_recorded() -> Iterator[None]:
    """What the program logs is recorded, and not printed."""
    logger, handler = logging.getLogger("flightsrv.demo"), tracing.LogHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def _program_lines(report: ArchiveReport) -> Iterator[str]:
    yield f"{report.documents:,} modules parsed into {report.nodes:,} nodes, {report.words:,} different names indexed"
    yield (
        f"{report.pieces:,} pieces compressed from {report.source_bytes / 1e6:.1f} to {report.archive_bytes / 1e6:.1f} "
        f"MB, stored, read back and compared; digest {report.chain_digest[:12]}"
    )


def _write_trace(client: QueryClient, process_id: str, output: Path, tell: Tell) -> None:
    """Ask for the trace twice: first when nothing is materialized, then when everything is."""
    (content,) = client.query(_CONTENT, [process_id]).to_pylist()
    threads, spans = content["threads"], content["spans"]
    tell(f"The server has {threads} threads and {spans:,} spans, in {content['blocks']} blocks;")
    tell(f"  beside them {content['entries']:,} entries of logs and {content['measures']:,} values of counters")
    with _timed() as cold:
        result = client.trace_to_file(process_id, output, strict=True)
    with _timed() as warm:
        client.trace(process_id, strict=True)
    tell(f"  cold trace {cold}, from the blocks as they came")
    tell(f"  warm trace {warm}, from the Parquet partitions that the first one made")
    tell(f"  {output}: {result.size_bytes / 1e6:.1f} MB, {result.size_bytes / spans:.1f} bytes a span")


def _query(client: QueryClient, process_id: str, tell: Tell) -> None:
    """One question in SQL, with its answer."""
    sql = _TOP_FUNCTIONS.format(process_id=process_id)
    tell("Where the time went, waiting aside, in SQL:\n")
    tell(textwrap.indent(sql, "  "))
    with _timed() as query:
        answer = client.query(sql)
    tell(f"\n  {'name':<28}{'spans':>10}{'total':>14}")
    for row in answer.to_pylist():
        tell(f"  {row['name']:<28}{row['spans']:>10,}{row['total_ns'] / 1e6:>11,.1f} ms")
    tell(f"  ({query})")


@dataclass
class _Duration:
    """Nanoseconds of a step; text for people."""

    ns: int = 0

    def __str__(self) -> str:
        return f"{self.ns / 1e9:.2f} s" if self.ns >= 10**9 else f"{self.ns / 1e6:.0f} ms"


@contextmanager
def _timed() -> Iterator[_Duration]:
    duration = _Duration()
    begin_ns = time.perf_counter_ns()
    try:
        yield duration
    finally:
        duration.ns = time.perf_counter_ns() - begin_ns
