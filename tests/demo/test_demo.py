"""The demo as somebody runs it: one command, and a trace that shows what the program did, no more and no less."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.demo.recorded import read_recorded
from tests.model.judge import assert_lanes_are_model
from tests.model.spans import Span, async_spans, thread_spans
from tests.model.telemetry import Block, MomentStream, Process
from tests.model.trace_reader import read_trace
from tests.support.trace_processor import LoadedTrace, Slice, TraceProcessor

FLIGHTSRV = Path(sys.executable).with_name("flightsrv")
MIN_SPANS = 100_000
MIN_THREADS = 50


@dataclass(frozen=True)
class Run:
    """A demo that has ended, and what it recorded."""

    said: str
    trace: bytes
    process: Process
    blocks: list[Block]
    left_behind: list[str]

    def number_before(self, words: str) -> int:
        """A number that the demo told, by the words after it."""
        (number,) = re.findall(rf"([\d,]+) {words}", self.said)
        return int(number.replace(",", ""))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("demo")
    temporary = folder / "tmp"
    temporary.mkdir()
    result = subprocess.run(
        [FLIGHTSRV, "demo", "--output", "demo.pftrace", "--ledger", "ledger.arrows", "--spans", str(MIN_SPANS)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    process, blocks = read_recorded(folder / "ledger.arrows")
    left_behind = [*os.listdir(temporary), *servers_of(temporary)]
    return Run(result.stdout, (folder / "demo.pftrace").read_bytes(), process, blocks, left_behind)


def servers_of(folder: Path) -> list[str]:
    """Command lines of servers whose lake is below a folder."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "flightsrv serve" in line and str(folder) in line]


@pytest.fixture(scope="module")
def loaded(run: Run, trace_processor: TraceProcessor) -> LoadedTrace:
    """The demo's trace."""
    loaded = trace_processor.load(run.trace)
    assert loaded.errors() == []
    return loaded


@pytest.fixture(scope="module")
def shown(run: Run, loaded: LoadedTrace) -> list[Slice]:
    """All slices of the demo's trace but those that are entries of logs, which must be there."""
    entries = Counter(
        (stream.thread and stream.thread.thread_id, run.process.time_ns(line.ticks), line.msg)
        for stream in run.process.of_kind("log")
        if isinstance(stream, MomentStream)
        for line in stream.events
    )
    spans = []
    for each in loaded.slices():
        entry = each.thread_id, each.begin_ns, each.name
        if each.duration_ns == 0 and entries[entry]:
            entries[entry] -= 1
        else:
            spans.append(each)
    assert entries.total() == 0, "some entry of a log is not in the trace"
    return spans


def recorded_async_spans(run: Run) -> list[Span]:
    streams = run.process.of_kind("async")
    return [span for stream in streams for span in async_spans(run.process, stream, run.blocks).spans]


@pytest.mark.slow
def test_the_trace_shows_every_span_of_every_thread(run: Run, shown: list[Slice]) -> None:
    """Slices of threads are the recorded spans, with begin, duration, depth, name, thread id and name."""
    expected = Counter(
        (stream.thread_id, stream.thread_name, span.begin_ns, span.duration_ns, span.depth, span.scope.name)
        for stream in run.process.of_kind("thread")
        for span in thread_spans(run.process, stream, run.blocks).spans
    )
    threads = (each for each in shown if each.thread_id is not None)
    assert expected == Counter(
        (each.thread_id, each.thread_name, each.begin_ns, each.duration_ns, each.depth, each.name) for each in threads
    )
    assert all(duration_ns is not None for _, _, _, duration_ns, _, _ in expected), "a thread ended within a span"


@pytest.mark.slow
def test_the_trace_shows_every_async_span(run: Run, shown: list[Slice]) -> None:
    """Slices of lanes are the recorded async spans, with begin, duration and name, each under no other's child."""
    expected = recorded_async_spans(run)
    lanes = [each for each in shown if each.thread_id is None]
    assert Counter((each.begin_ns, each.duration_ns, each.name) for each in lanes) == Counter(
        (span.begin_ns, span.duration_ns, span.scope.name) for span in expected
    )
    assert_lanes_are_model(read_trace(run.trace).lanes, expected)


@pytest.mark.slow
def test_the_trace_shows_every_value_of_every_counter(run: Run, loaded: LoadedTrace) -> None:
    """Tracks of counters have the recorded values with their times and units: of the program, and its vital signs."""
    rows = loaded.query(
        "SELECT counter_track.name, unit, ts, value FROM counter JOIN counter_track ON track_id = counter_track.id"
    )
    recorded = [value for stream in run.process.of_kind("measure") for value in stream.events]
    assert Counter((row["name"], row["unit"] or "", row["ts"], row["value"]) for row in rows) == Counter(
        (value.scope.name, value.unit, run.process.time_ns(value.ticks), value.value) for value in recorded
    )
    assert {"archive", "process.cpu", "process.resident_memory"} <= {value.scope.name for value in recorded}


@pytest.mark.slow
def test_the_demo_is_a_program_worth_looking_at(run: Run, shown: list[Slice]) -> None:
    """It has many threads and spans, deep stacks, and tasks that overlap, nest and are cancelled."""
    threads = {each.thread_id for each in shown if each.thread_id is not None}
    assert len(threads) >= MIN_THREADS
    assert len(shown) >= MIN_SPANS
    assert max(each.depth for each in shown) > 8
    tasks = recorded_async_spans(run)
    assert {span.depth for span in tasks} >= {0, 1, 2}
    assert len({each.track_id for each in shown if each.thread_id is None}) > 2, "tasks overlap"
    assert any(span.scope.name == "hang up" for span in tasks), "tasks are cancelled"


@pytest.mark.slow
def test_the_trace_agrees_with_what_the_program_says_it_did(run: Run, shown: list[Slice]) -> None:
    """The program's own counts, which tracing knows nothing of, are those of the slices."""
    names = Counter(str(each.name) for each in shown)
    visits = sum(number for name, number in names.items() if name.startswith("visit "))
    assert visits == run.number_before("nodes")
    assert names["read document"] == run.number_before("modules")
    assert names["compress piece"] == names["upload piece"] == run.number_before("pieces")
    # Others have an event loop, and no spans.
    assert sum(bool(stream.events) for stream in run.process.of_kind("thread")) == run.number_before("threads")
    assert len(shown) == run.number_before("spans")
    messages = [line.msg for stream in run.process.of_kind("log") for line in stream.events]
    assert sum(message.startswith("read ") for message in messages) == run.number_before("modules")
    assert len(messages) == run.number_before("entries")


@pytest.mark.slow
def test_the_demo_says_how_long_it_took_and_where_to_look(run: Run) -> None:
    """The steps come with their durations, the question with its answer, the file with the page that opens it."""
    for step in ("recording took", "cold trace", "warm trace"):
        assert re.search(rf"{step} [\d.]+ m?s", run.said), step
    assert "FROM process_spans(" in run.said
    assert re.search(r"compress piece +\d+ +[\d,.]+ ms", run.said)
    assert "https://ui.perfetto.dev" in run.said


@pytest.mark.slow
def test_the_demo_leaves_nothing_behind(run: Run) -> None:
    """The server has ended and the temporary lake is gone."""
    assert run.left_behind == []


@pytest.fixture
def serving(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A demo that goes on serving a lake in `tmp_path`, at the moment when it begins to do so."""
    demo = subprocess.Popen(
        [FLIGHTSRV, "demo", "--lake", "lake", "--keep-serving", "--spans", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Still serving" in line:
            break
    yield demo
    demo.kill()
    demo.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_keeps_serving_takes_its_server_along(
    number: signal.Signals, serving: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """Told to stop in any usual way, it stops the server without a fuss, and leaves the lake that it was given."""
    servers = [child for child in psutil.Process(serving.pid).children() if child.is_running()]
    assert len(servers) == 1
    serving.send_signal(number)
    _, complaints = serving.communicate(timeout=60)
    assert complaints in ("", "Interrupted.\n")
    assert not servers[0].is_running()
    assert (tmp_path / "lake" / "metadata.db").exists()


@pytest.mark.slow
def test_a_demo_that_fails_takes_its_server_along(tmp_path: Path) -> None:
    """When the trace cannot be written, the error is one line, and no server is left."""
    result = subprocess.run(
        [FLIGHTSRV, "demo", "--lake", tmp_path / "lake", "--spans", "1", "--ledger", tmp_path / "no" / "ledger"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert servers_of(tmp_path) == []


def test_a_folder_that_is_not_there_is_noticed_at_once(tmp_path: Path) -> None:
    """The demo does not record first what it could not write."""
    result = subprocess.run(
        [FLIGHTSRV, "demo", "--output", tmp_path / "no" / "demo.pftrace"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "there is no folder" in result.stderr
