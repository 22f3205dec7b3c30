"""What a user sees when something goes wrong: one line, the right exit code, no half file."""

import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from flightsrv.cli import main
from tests.cli.conftest import FLIGHTSRV
from tests.client.fake_server import Chunk, Message, Wait, serving


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "nobody", "-o", "a.pftrace"], "Error: process 'nobody' is unknown"),
        (["query", "SELEC"], "Error: SQL error"),
        (["query", "SELECT 1", "--url", "grpc://127.0.0.1:1"], "Error: no server answers at grpc://127.0.0.1:1: "),
        (["import-chrome", "broken.json"], "Error: the file is not JSON"),
        (["token", "remove", "nobody", "--tokens", "tokens.json"], "Error: there is no token named 'nobody'"),
        (["token", "list", "--tokens", "missing.json"], "Error: the tokens in missing.json cannot be read"),
        (["import-chrome", "early.json", "--start-time", "1969-12-31T23:59:59Z"], "Error: --start-time must not lie"),
        (["import-chrome", "other.json"], "Error: the file holds no list of events, expected an array or an object"),
        (["import-chrome", "late.json", "--start-time", "2200-01-01T00:00:00Z"], "Error: with this time for its 0, "),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(shell, arguments, message):
    """Whatever fails, nothing goes to stdout and no file is left."""
    (shell.folder / "broken.json").write_text("[{")
    (shell.folder / "tokens.json").write_text('{"tokens": []}')
    (shell.folder / "early.json").write_text('[{"ph": "X", "ts": -1, "dur": 1}]')
    (shell.folder / "other.json").write_text("{}")
    (shell.folder / "late.json").write_text('[{"ph": "X", "ts": 4000000000000000, "dur": 1}]')
    before = set(shell.folder.iterdir())
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
    assert set(shell.folder.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "p"],
        ["trace", "p", "-o", "a", "--span-types", "fibers"],
        ["trace", "p", "-o", "a", "--begin", "noon"],
        ["query", "SELECT 1", "--end", "-5 fortnights"],
        ["query", "SELECT 1", "--begin", "now", "--end", "-1h"],
        ["query", "SELECT 1", "--last", "60"],
        ["query", "SELECT 1", "--last", "60s", "--end", "now"],
        ["serve"],
        ["serve", "--lake", "x", "--port", "99999"],
        ["import-chrome", "no such file"],
        ["query", "SELECT 1", "--format", "xml"],
        ["unheard-of"],
    ],
)
def test_a_usage_error_has_exit_code_2(arguments):
    """As is the custom; the message names what was wrong."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_port_that_is_taken_is_a_clean_error(shell):
    """Not a traceback of the server."""
    port = shell.url.rpartition(":")[2]
    done = shell.run("serve", "--lake", "lake", "--port", port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in done.stderr


def test_a_remote_lake_without_a_database_is_a_clean_error(shell):
    """Which says what to give."""
    done = shell.run("serve", "--lake", "s3://bucket/lake")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: a lake at s3://bucket/lake needs a database")
    assert "(--db)" in done.stderr


def test_ctrl_c_stops_a_trace_and_leaves_no_file(tmp_path):
    """The server's work is cancelled, too, though the client was waiting for the network."""
    with serving(Chunk(0, b"first"), Wait()) as server:
        command = [FLIGHTSRV, "trace", "p", "-o", str(tmp_path / "a.pftrace"), "--url", server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert server.waiting.wait(60)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        assert server.abandoned.wait(60)
    assert (process.returncode, output, errors) == (130, b"", b"Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


PROGRESS = {"type": "progress", "message": "Trace complete", "threads_done": 2, "threads_total": 2}
FAILURE = {"type": "thread_failed", "stream_id": "s1", "message": "block b1 is \x1b[1mcorrupt"}


def test_a_thread_that_failed_is_a_warning(tmp_path):
    """The rest of the trace is there, and the command succeeds."""
    lost = {"type": "events_lost", "stream_id": "s2", "nb_events": 1200}
    dropped = {"type": "spans_dropped", "stream_id": "s2", "nb_spans": 3400}
    missing = [Message(message) for message in ({**PROGRESS, "nb_spans": 7}, FAILURE, lost, dropped)]
    with serving(Chunk(0, b"first"), *missing) as server:
        path = tmp_path / "a.pftrace"
        result = CliRunner().invoke(main, ["trace", "p", "-o", str(path), "--url", server.url])
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        r"Warning: thread s1 is missing: block b1 is \x1b[1mcorrupt",
        "Warning: 1,200 events were lost; the trace shows where.",
        "Warning: 3,400 spans were dropped while recording, for lack of memory; the trace shows where.",
    ]
    assert path.read_bytes() == b"first"


@pytest.mark.parametrize("options", [(), ("--last", "60s")])
def test_a_trace_of_which_no_thread_could_be_read_is_a_failure(tmp_path, options):
    """The file says on each track why; what was in the time range is unknown, so nothing is said of that."""
    failures = [FAILURE, {**FAILURE, "stream_id": "s2"}, {**PROGRESS, "nb_spans": 0}]
    with serving(Chunk(0, b"tracks"), *map(Message, failures)) as server:
        path = tmp_path / "a.pftrace"
        result = CliRunner().invoke(main, ["trace", "p", "-o", str(path), "--url", server.url, *options])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        r"Warning: thread s1 is missing: block b1 is \x1b[1mcorrupt",
        r"Warning: thread s2 is missing: block b1 is \x1b[1mcorrupt",
        "Error: the trace has no spans: no thread that has some could be read",
    ]
    assert path.read_bytes() == b"tracks"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["query", "SELECT 1", "--format", form] for form in ("table", "csv", "json", "arrow")),
        ["processes"],
        ["trace", "{process_id}", "-o", "-"],
        ["trace", "{process_id}", "-o", "/dev/full"],
        ["import-chrome", "spans.json"],
        ["token", "add", "me", "--role", "admin", "--tokens", "tokens.json"],
        ["--version"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_a_failure(shell, arguments):
    """On a full disk, for example: one line, and exit code 1."""
    (shell.folder / "spans.json").write_text('[{"ph": "X", "pid": 1, "tid": 1, "name": "a", "ts": 1, "dur": 1}]')
    [process_id] = shell.lines("import-chrome", "spans.json")
    command = [FLIGHTSRV, *(argument.format(process_id=process_id) for argument in arguments)]
    environment = {"FLIGHTSRV_URL": shell.url, "PATH": ""}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, cwd=shell.folder, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No space left on device")
    assert "Traceback" not in done.stderr


def test_an_import_of_nothing_is_a_failure(shell):
    """Rather than an empty list of ids for the next command."""
    (shell.folder / "empty.json").write_text("[]")
    done = shell.run("import-chrome", "empty.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "Error: there are no spans in empty.json"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_help_of_every_command_has_an_example(command):
    """And every option is explained."""
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example: flightsrv" in result.output or f"flightsrv {command}" in result.output
    assert all(getattr(option, "help", None) for option in main.commands[command].params if option.opts[0][0] == "-")


def test_help_loads_nothing_heavy():
    """So that it comes at once."""
    program = """
import sys
from click.testing import CliRunner
from flightsrv.cli import main
assert CliRunner().invoke(main, ["trace", "--help"]).exit_code == 0
print(sorted({"pyarrow", "numpy", "datafusion", "numba", "sqlalchemy", "rich"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
