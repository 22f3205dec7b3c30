"""What somebody at a terminal sees while a trace is made."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from flightsrv.client import connect
from flightsrv.telemetry import Process, processes_batch
from tests.cli.conftest import FLIGHTSRV, Shell


def on_a_terminal(command: list[str], folder: Path, columns: int = 200) -> str:
    """What a command that succeeds writes where it writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # how Linux says that nobody has the other side of the terminal open
            pass
        assert process.wait(60) == 0
    os.close(ours)
    return shown.decode()


def test_a_trace_shows_what_it_does_and_how_much(shell: Shell) -> None:
    """The server's message, a bar, spans and bytes; nothing of it where nobody looks."""
    events = [{"ph": "X", "pid": 7, "tid": 8, "name": f"f{number}", "ts": number, "dur": 1} for number in range(20)]
    (shell.folder / "trace.json").write_text(json.dumps(events))
    (process_id,) = shell.lines("import-chrome", "trace.json")
    command = [FLIGHTSRV, "trace", process_id, "-o", "a.pftrace", "--url", shell.url]
    shown = on_a_terminal(command, shell.folder)
    assert "Trace complete" in shown
    assert "20 spans, " in shown
    assert shell.run("trace", process_id, "-o", "b.pftrace").stderr == ""


@pytest.mark.parametrize("columns", [80, 200])
def test_ids_can_be_copied_from_a_table(columns: int, shell: Shell) -> None:
    """However little room there is for what is beside them; nothing is left out."""
    command = "/usr/bin/python3 -m " + ".".join(f"package{number}" for number in range(9))
    process = Process("0b7c1f0e-7a24-43ea-aa6c-445ec504a529", 10**9, 0, 0, properties={"command-line": command})
    with connect(shell.url) as client:
        client.ingest("processes", processes_batch([process]))
    shown = on_a_terminal([FLIGHTSRV, "processes", "--url", shell.url], shell.folder, columns)
    lines = shown.splitlines()
    (start,) = [number for number, line in enumerate(lines) if process.process_id in line]
    assert "1970-01-01 00:00:00" in lines[start]
    program = "".join(line.split("│")[-2].strip() for line in lines[start:] if line.count("│") == 5)
    assert "".join(command.removeprefix("/usr/bin/").split()) in "".join(program.split())


def test_a_table_too_wide_for_its_terminal_is_folded(shell: Shell) -> None:
    """All of it is there, if in pieces."""
    sql = "SELECT " + ", ".join(f"'{letter * 30}' AS {letter}" for letter in "abcdefgh")
    shown = on_a_terminal([FLIGHTSRV, "query", sql, "--url", shell.url], shell.folder, 80)
    assert [shown.count(letter) - 1 for letter in "abcdefgh"] == [30] * 8
