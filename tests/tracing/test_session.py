"""Start, stop, the end of a program, and its children."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flightsrv import tracing
from tests.model.lake import Reader
from tests.tracing.recorded import MemorySink, settings, tree
from udtf.lake.lake import Lake

ROOT = Path(__file__).parents[2]

# Writes what it is given to a file, one line of JSON a row, so that another process can read it.
FILE_SINK = """
import json, os, sys, threading, time
from flightsrv import tracing

class FileSink:
    def __init__(self, path):
        self.path = path
    def send(self, table, batch):
        with open(self.path, "a") as file:
            for row in batch.select([n for n in batch.schema.names if n != "start_time"]).to_pylist():
                if table == "blocks":
                    events = row.pop("thread_events", None) or row.pop("async_events")
                    row["events"] = [("()"[event["kind"]], event["scope"]["name"]) for event in events]
                print(json.dumps([table, row]), file=file)
    def close(self):
        pass
"""


def run_program(source: str, *arguments: object, expected_exit: int = 0) -> str:
    """Run a program after the sink above; returns what it printed."""
    program = FILE_SINK + textwrap.dedent(source)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == expected_exit, done.stderr
    return done.stdout


def rows(path: Path, table: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for kind, row in lines if kind == table]


def events(path: Path) -> str:
    """The events of all blocks, in the order sent: `(a` begins a, `)a` ends it."""
    return " ".join(kind + name for row in rows(path, "blocks") for kind, name in row["events"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ending", "exit_code"),
    [("pass", 0), ("sys.exit(3)", 3), ("raise KeyError", 1)],
    ids=["end", "exit", "exception"],
)
def test_everything_is_sent_when_the_program_ends(tmp_path: Path, ending: str, exit_code: int) -> None:
    """However it ends by itself, also what threads recorded after the main thread was through."""
    run_program(
        f"""
        tracing.start(sink=FileSink(sys.argv[1]))
        def work():
            threading.main_thread().join()
            with tracing.span("worker"):
                pass
        threading.Thread(target=work).start()
        with tracing.span("main"):
            pass
        {ending}
        """,
        tmp_path / "sent",
        expected_exit=exit_code,
    )
    assert events(tmp_path / "sent") == "(main )main (worker )worker"


def test_a_program_that_ends_at_once_writes_a_lake(tmp_path: Path) -> None:
    """The lake is opened in the background, and has everything when the program is over."""
    run_program(
        """
        tracing.start(lake=sys.argv[1], settings=tracing.Settings(stop_timeout_s=100.0))
        def work():
            with tracing.span("work"):
                pass
        for i in range(5):
            threading.Thread(target=work, name=f"t{i}").start()
        """,
        tmp_path,
    )
    lake = Lake.open(str(tmp_path))
    try:
        reader = Reader.of(lake)
        (process,) = reader.rows("SELECT process_id FROM processes")
        spans = reader.rows(f"SELECT thread_name, name FROM process_spans('{process['process_id']}', 'thread')")
        assert sorted((row["thread_name"], row["name"]) for row in spans) == [(f"t{i}", "work") for i in range(5)]
    finally:
        lake.close()


def test_a_program_ends_although_its_sink_hangs(tmp_path: Path) -> None:
    """The wait at the end is bounded."""
    run_program(
        """
        class HangingSink:
            def send(self, table, batch):
                time.sleep(1000)
        tracing.start(sink=HangingSink(), settings=tracing.Settings(stop_timeout_s=0.2))
        with tracing.span("main"):
            pass
        """
    )


def test_a_forked_child_records_nothing_until_it_starts_itself(tmp_path: Path) -> None:
    """Nothing of the parent is sent twice, no lock is waited for, and the child knows its parent."""
    parent_path, child_path = tmp_path / "parent", tmp_path / "child"
    run_program(
        """
        tracing.start(sink=FileSink(sys.argv[1]))
        with tracing.span("before"):
            for round in range(20):
                child = os.fork()
                if child == 0:
                    with tracing.span("lost"):
                        assert tracing.flush() and tracing.stop()
                        assert not tracing.statistics().is_recording
                    if round == 19:
                        with tracing.start(sink=FileSink(sys.argv[2])):
                            with tracing.span("child"):
                                pass
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        """,
        parent_path,
        child_path,
    )
    assert events(parent_path) == "(before )before"
    assert events(child_path) == "(child )child"
    (parent,), (child,) = rows(parent_path, "processes"), rows(child_path, "processes")
    assert child["parent_process_id"] == parent["process_id"]
    assert child["process_id"] != parent["process_id"]


def test_a_forked_child_that_ends_in_the_usual_way_sends_nothing(tmp_path: Path) -> None:
    """A child that runs on to the end of the interpreter leaves the parent's telemetry to the parent."""
    run_program(
        """
        tracing.start(sink=FileSink(sys.argv[1]))
        with tracing.span("before"):
            child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        tmp_path / "sent",
    )
    assert events(tmp_path / "sent") == "(before )before"


def test_started_processes_name_their_parent(tmp_path: Path) -> None:
    """The environment carries the id over, while the parent records."""
    child_path = tmp_path / "child"
    sink = MemorySink()
    with tracing.start(sink=sink, settings=settings()) as session:
        run_program("tracing.start(sink=FileSink(sys.argv[1]))", child_path)
    (child,) = rows(child_path, "processes")
    assert child["parent_process_id"] == session.process_id
    orphan_path = tmp_path / "orphan"
    run_program("tracing.start(sink=FileSink(sys.argv[1]))", orphan_path)
    (orphan,) = rows(orphan_path, "processes")
    assert orphan["parent_process_id"] is None


def test_a_process_says_what_it_is() -> None:
    """Clock, machine, user, command and what the application adds."""
    sink = MemorySink()
    before_ns = time.time_ns()
    with tracing.start(sink=sink, properties={"version": "1.2", "shard": 7}):  # type: ignore[dict-item]
        now_ticks = time.perf_counter_ns()
    (process,) = sink.processes.values()
    assert process["tsc_frequency"] == 1_000_000_000
    assert process["exe"] == sys.executable
    assert before_ns <= process["start_time"] <= time.time_ns()  # type: ignore[operator]
    assert process["start_ticks"] <= now_ticks  # type: ignore[operator]
    assert all(process[column] for column in ("username", "computer", "distro", "cpu_brand"))
    properties = process["properties"]
    assert properties["pid"] == str(os.getpid())  # type: ignore[index]
    assert all(argument in properties["command-line"] for argument in sys.orig_argv)  # type: ignore[index]
    assert (properties["version"], properties["shard"]) == ("1.2", "7")  # type: ignore[index]


def test_starting_twice_goes_on_with_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """Two parts of a program may both mean to start the recording."""
    first, second = MemorySink(), MemorySink()
    with tracing.start(sink=first, settings=settings()) as session:
        assert tracing.start(sink=second, settings=settings()) is session
        with tracing.span("work"):
            pass
    assert tree(first.of_thread("MainThread")) == "work"
    assert not second.calls
    assert "started already" in caplog.text


def test_a_second_recording_is_another_process() -> None:
    """Each has its process and its streams; statistics are those of the latest."""
    sinks = [MemorySink(), MemorySink()]
    for sink in sinks:
        with tracing.start(sink=sink, settings=settings()), tracing.span("work"):
            pass
    assert tracing.stop()
    assert not set(sinks[0].processes) & set(sinks[1].processes)
    assert not set(sinks[0].streams) & set(sinks[1].streams)
    assert tracing.statistics().sent_events == 2


@pytest.mark.parametrize("receivers", [{}, {"url": "grpc://x:1", "lake": "y"}])
def test_start_wants_one_receiver(receivers: dict[str, str]) -> None:
    """The only mistake that is raised, because it is one of the program text."""
    with pytest.raises(ValueError, match="give one of url, lake and sink"):
        tracing.start(**receivers)  # type: ignore[arg-type]


def test_importing_the_library_needs_the_standard_library_only() -> None:
    """Applications that never record pay for nothing; those that do, pay in the background."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, flightsrv.tracing; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"pyarrow", "numpy", "numba", "datafusion", "udtf", "sqlalchemy", "fsspec"})
    assert "flightsrv.telemetry" not in done.stdout.split()
