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
        (["trace", "p", "-o", "a", "--begin", "now"], "Error: begin must be a time as in 2026-01-01T10:00:00.5Z"),
        (["query", "SELEC"], "Error: SQL error"),
        (["query", "SELECT 1", "--url", "grpc://127.0.0.1:1"], "Error: no server answers at grpc://127.0.0.1:1: "),
        (["import-chrome", "broken.json"], "Error: the file is not JSON"),
        (["import-chrome", "other.json"], "Error: the file holds no list of events, expected an array or an object"),
        (["import-chrome", "late.json", "--start-time", "2200-01-01T00:00:00Z"], "Error: with this time for its 0, "),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(shell, arguments, message):
    """Whatever fails, nothing goes to stdout and no file is left."""
    (shell.folder / "broken.json").write_text("[{")
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


def test_a_thread_that_failed_is_a_warning(tmp_path):
    """The rest of the trace is there, and the command succeeds."""
    failure = {"type": "thread_failed", "stream_id": "s1", "message": "block b1 is \x1b[1mcorrupt"}
    lost = {"type": "events_lost", "stream_id": "s2", "nb_events": 1200}
    dropped = {"type": "spans_dropped", "stream_id": "s2", "nb_spans": 3400}
    missing = [Message(message) for message in (failure, lost, dropped)]
    with serving(Chunk(0, b"first"), *missing) as server:
        path = tmp_path / "a.pftrace"
        result = CliRunner().invoke(main, ["trace", "p", "-o", str(path), "--url", server.url])
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        r"Warning: thread s1 is missing: block b1 is \x1b[1mcorrupt",
        "Warning: 1,200 events never reached the server; the trace says where.",
        "Warning: 3,400 spans had no room in the program that recorded, and were dropped; the trace says "
        "which threads.",
    ]
    assert path.read_bytes() == b"first"


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
