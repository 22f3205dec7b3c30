"""How often processes had something written through to the disk, counted by strace(1)."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "msync")
_POLL_S = 0.01


@dataclass
class Syncs:
    """How many there were while the block ran; None until it has ended, without strace and of no process."""

    count: int | None = None


@contextmanager
def counted_syncs(pids: Sequence[int]) -> Iterator[Syncs]:
    """Count the syncs of these processes, and of those that they start, while the block runs; they are slower
    meanwhile. Of no processes, nothing is counted.

    Raises:
        PermissionError: they may not be traced.
    """
    syncs = Syncs()
    if not pids or shutil.which("strace") is None:
        yield syncs
        return
    with tempfile.TemporaryDirectory() as folder:
        summary, log = Path(folder) / "summary", Path(folder) / "log"
        targets = [argument for pid in pids for argument in ("-p", str(pid))]
        with log.open("w") as sink:
            strace = subprocess.Popen(
                ["strace", "-f", "-c", "-o", str(summary), "-e", f"trace={','.join(_SYNCS)}", *targets], stderr=sink
            )
        try:
            while log.read_text().count(" attached") < len(pids):
                if strace.poll() is not None:
                    raise PermissionError(f"strace cannot look at {list(pids)}: {log.read_text().strip()}")
                time.sleep(_POLL_S)
            yield syncs
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
        syncs.count = sum(_calls(line.split()) for line in summary.read_text().splitlines())


def _calls(fields: Sequence[str]) -> int:
    """Of a line of strace's table: share of time, seconds, microseconds a call, calls, errors if any, name."""
    return int(fields[3]) if fields and fields[-1] in _SYNCS else 0
