"""Several senders (`benchmarks.sender`) at once, each in a process of its own, and whether what they sent is there."""

import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.recordings import Live
from benchmarks.sender import READY, Sent
from benchmarks.servers import Server


class SenderFailed(Exception):
    """A sender ended without saying what it has sent; its standard error has why."""


@dataclass(frozen=True)
class Senders:
    """They have made their uploads, and wait to be told to send them."""

    _programs: "list[subprocess.Popen[str]]"

    def begin(self) -> None:
        for program in self._programs:
            assert program.stdin is not None
            program.stdin.write("\n")
            program.stdin.close()

    def sent(self) -> list[Sent]:
        """What each of them has sent, when all are done.

        Raises:
            SenderFailed: one of them was refused something, or broke.
        """
        sent = []
        for program in self._programs:
            assert program.stdout is not None
            line = program.stdout.readline()
            if program.wait() != 0:
                raise SenderFailed(f"a sender ended with exit code {program.returncode}")
            sent.append(Sent.from_json(line))
        return sent


@contextmanager
def senders(url: str, count: int, live: Live, seconds: float, processes: int | None = None) -> Iterator[Senders]:
    """So many senders that send, for so many seconds, what a live process sends: one process after the other as fast as
    they can, or so many `processes` each by the clock. Ended with the block."""
    with ExitStack() as stack:
        programs = []
        for _ in range(count):
            command = [
                *(sys.executable, "-m", "benchmarks.sender", "--url", url, "--name", f"sender-{uuid.uuid4()}"),
                *("--threads", str(live.threads), "--spans", str(live.spans_per_flush)),
                *("--flushes", str(live.flushes), "--seconds", str(seconds)),
                *([] if processes is None else ["--processes", str(processes)]),
            ]
            program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(program)
            stack.callback(program.kill)
            programs.append(program)
        for program in programs:
            assert program.stdout is not None
            if program.stdout.readline().strip() != READY:
                raise SenderFailed(f"a sender ended with exit code {program.wait()} before it began")
        yield Senders(programs)


def acknowledged(sent: Sequence[Sent]) -> int:
    """How many uploads of blocks were."""
    return sum(process.acknowledged for each in sent for process in each.processes)


def lost_events(server: Server, sent: Sequence[Sent], live: Live) -> int:
    """Of the events that were acknowledged, how many SQL does not show as stored."""
    rows = server.client.query("SELECT process_id, sum(nb_objects) AS events FROM blocks GROUP BY process_id")
    stored = {row["process_id"]: row["events"] for row in rows.to_pylist()}
    upload_events = live.threads * live.spans_per_flush * 2
    return sum(
        max(0, process.acknowledged * upload_events - stored.get(process.process_id, 0))
        for each in sent
        for process in each.processes
    )
