"""A server in a process of its own, for as long as it is needed."""

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 45.0
"""A little longer than a server waits for its calls to end."""

_ANNOUNCEMENT = "listening on "
_PAGE = r"page on (http://\S+)"
"""In the log, before the announcement."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that listens at `url`, and at `http_url` for telemetry and browsers."""

    url: str
    http_url: str
    process: "subprocess.Popen[str]"


class ServerDidNotStartError(Exception):
    """The message ends with what the server said."""


@contextmanager
def serve_lake(lake: Path) -> Iterator[ServerProcess]:
    """`flightsrv serve` on a free port; it is gone when the block is left, for whatever reason.

    Raises:
        ServerDidNotStartError: it ended early, or said nothing for a minute.
    """
    command = [sys.executable, "-m", "flightsrv", "serve", "--lake", str(lake), "--host", "127.0.0.1", "--port", "0"]
    command += ["--http-port", "0"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        # In a session of its own, Ctrl-C reaches this program alone, which still has something to send then.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        try:
            line = _first_line(process)
            log.seek(0)
            said = log.read()
            page = re.search(_PAGE, said)
            if not line.startswith(_ANNOUNCEMENT) or page is None:
                raise ServerDidNotStartError(f"the server did not start: {said[-1000:].strip()}")
            yield ServerProcess(line.removeprefix(_ANNOUNCEMENT).strip(), page[1], process)
        finally:
            _stop(process)


def _first_line(process: "subprocess.Popen[str]") -> str:
    """What the server prints first; nothing if it ends, or has to be ended, before it does."""
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


def _stop(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
    finally:
        process.stdout.close()
