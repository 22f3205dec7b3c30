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

# Writes what it is given to a file, one line of JSON a row, so that another process can read it. Imports come first: a
# recording waits for its sink for some seconds only when it ends.
FILE_SINK = """
import json, os, sys, threading, time
from flightsrv import tracing
from flightsrv.telemetry import processes_batch, streams_batch
from flightsrv.uploads import decode_uploads

class FileSink:
    def __init__(self, path):
        self.path = path
    def send(self, uploads):
        decoded = decode_uploads(uploads)
        self.write("processes", processes_batch(decoded.processes))
        self.write("streams", streams_batch(decoded.streams))
        self.write("blocks", decoded.blocks)
    def write(self, table, batch):
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
        tracing.start(sink=lambda: FileSink(sys.argv[1]))
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
        from flightsrv.lake_sink import LakeSink
        tracing.start(sink=lambda: LakeSink(sys.argv[1]), settings=tracing.Settings(stop_timeout_s=100.0))
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
            def send(self, uploads):
                time.sleep(1000)
        tracing.start(sink=lambda: HangingSink(), settings=tracing.Settings(stop_timeout_s=0.2))
        with tracing.span("main"):
            pass
        """
    )


def test_started_processes_name_their_parent(tmp_path: Path) -> None:
    """The environment carries the id over, while the parent records."""
    child_path = tmp_path / "child"
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()) as session:
        run_program("tracing.start(sink=lambda: FileSink(sys.argv[1]))", child_path)
    (child,) = rows(child_path, "processes")
    assert child["parent_process_id"] == session.process_id
    orphan_path = tmp_path / "orphan"
    run_program("tracing.start(sink=lambda: FileSink(sys.argv[1]))", orphan_path)
    (orphan,) = rows(orphan_path, "processes")
    assert orphan["parent_process_id"] is None


def test_a_process_says_what_it_is() -> None:
    """Clock, machine, user, command and what the application adds."""
    sink = MemorySink()
    before_ns = time.time_ns()
    with tracing.start(sink=lambda: sink, properties={"version": "1.2", "shard": 7}):  # type: ignore[dict-item]
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
    with tracing.start(sink=lambda: first, settings=settings()) as session:
        assert tracing.start(sink=lambda: second, settings=settings()) is session
        with tracing.span("work"):
            pass
    assert tree(first.of_thread("MainThread")) == "work"
    assert not second.calls
    assert "started already" in caplog.text


def test_a_second_recording_is_another_process() -> None:
    """Each has its process and its streams; statistics are those of the latest."""
    sinks = [MemorySink(), MemorySink()]
    for sink in sinks:
        with tracing.start(sink=lambda sink=sink: sink, settings=settings()), tracing.span("work"):  # type: ignore[misc]
            pass
    assert tracing.stop()
    assert not set(sinks[0].processes) & set(sinks[1].processes)
    assert not set(sinks[0].streams) & set(sinks[1].streams)
    assert tracing.statistics().sent_events == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give one of url and sink"),
        ({"url": "http://x:1", "sink": MemorySink}, "give one of url and sink"),
        ({"url": "grpc://x:1"}, "expected http://HOST:PORT"),
        ({"url": "http://x:port"}, "http://x:port"),
        ({"url": "http://x", "token": "a\r\nb"}, "token"),
    ],
    ids=str,
)
def test_start_says_what_is_wrong_with_its_arguments(arguments: dict[str, object], message: str) -> None:
    """The only mistakes that are raised, because they are those of the program text."""
    with pytest.raises(ValueError, match=message):
        tracing.start(**arguments)  # type: ignore[arg-type]


def test_the_environment_says_where_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program does not; and is as it was afterwards."""
    monkeypatch.setenv("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:1")
    with tracing.start(settings=tracing.Settings(stop_timeout_s=0.0, spool="")) as session:
        assert session.statistics().is_recording
    assert os.environ["FLIGHTSRV_TRACE_TO"] == "http://127.0.0.1:1"
    monkeypatch.setenv("FLIGHTSRV_TRACE_TO", "grpc://127.0.0.1:1")
    with pytest.raises(ValueError, match="expected http://HOST:PORT"):
        tracing.start()


def test_recording_and_sending_need_the_standard_library_only() -> None:
    """From the import to the end, with a server that is away, a span of each kind, and a child."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import asyncio, os, sys\n"
            "from flightsrv import tracing\n"
            "async def task():\n"
            "    async with tracing.async_span('task'): pass\n"
            "with tracing.start('http://127.0.0.1:1', settings=tracing.Settings(send_every_s=0.01)) as session:\n"
            "    with tracing.span('thread'): asyncio.run(task())\n"
            "    tracing.traced(len)([])\n"
            "    assert not session.flush(0.5)\n"
            "    child = os.fork()\n"
            "    with tracing.span('fork'): tracing.flush(0.5)\n"
            "    if child: os.waitpid(child, 0)\n"
            "print(*sys.modules, sep='\\n')",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    # What begins with an underscore belongs to the environment, which may be of any kind.
    others = {name for name in loaded if not name.startswith(("_", "sitecustomize", "flightsrv.tracing"))}
    assert others == {"flightsrv"}
