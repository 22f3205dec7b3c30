"""What somebody at a terminal sees while a trace is made."""

import json
import os
import pty
import subprocess
from pathlib import Path

from tests.cli.conftest import FLIGHTSRV, Shell


def on_a_terminal(command: list[str], folder: Path) -> str:
    """What a command that succeeds writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs, stdin=theirs
    ) as process:
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
