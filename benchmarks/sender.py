"""A program that sends what traced processes would send: `python -m benchmarks.sender --help`

It stands for many processes and is cheap: it makes the uploads of one of them in advance, and each process sends these
with ids of its own. When they are made it prints "ready", and begins when it is given a line. At the end it prints what
it sent, as one line of JSON (`Sent`).
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import click

import flightsrv.client
from benchmarks import uploads
from benchmarks.recordings import FLUSH_S, Live
from benchmarks.uploads import Upload
from flightsrv.client import QueryClient, Unavailable

READY = "ready"
PAUSE_S = 0.1
"""Before an upload is sent again that the server had no room for."""

GRACE_S = 10.0
"""By the clock, an upload that is due before the end is still sent so long after it."""

GIVE_UP_S = 60.0
"""Without a clock, an upload that was begun before the end is acknowledged so long after it, or the sender fails."""

_TEMPLATE = "template"


@dataclass
class SentProcess:
    """One process: its id, when it started (nanoseconds since the Unix epoch), and how many of its uploads of blocks
    were acknowledged: the first ones, as each waits for the one before it."""

    process_id: str
    start_ns: int
    acknowledged: int = 0


@dataclass
class Sent:
    """What all processes of a program have sent.

    Attributes:
        due: how many uploads of blocks should have been sent by the end; 0 if they were not sent by a clock.
        ack_ms: of each upload of blocks that was acknowledged, how long that took.
        late_ms: how long after its time that was, if it was sent by a clock.
        repeated: how often an upload was sent again because the server had no room for it.
        seconds: from the beginning to the last acknowledgement.
        cpu_seconds: that the program computed meanwhile.
    """

    processes: list[SentProcess] = field(default_factory=list)
    due: int = 0
    ack_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    repeated: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Sent":
        values = json.loads(text)
        values["processes"] = [SentProcess(**process) for process in values["processes"]]
        return Sent(**values)


class Sender:
    """Sends the uploads of a live process under the names of others, each in a thread and with a connection of its own.
    Sends once.

    Args:
        name: what the ids of its processes begin with.
        seconds: how long it sends, from the moment when it is told to.
    """

    def __init__(self, url: str, live: Live, name: str, seconds: float) -> None:
        self._url = url
        self._threads = live.threads
        self._name = name
        self._seconds = seconds
        self._blocks = [upload for upload in live.uploads_as(_TEMPLATE) if upload[0] == "blocks"]
        self._sent = Sent()
        self._lock = threading.Lock()
        self._begin_s = self._end_s = 0.0

    def send_steadily(self, processes: int) -> Sent:
        """So many processes send an upload every `FLUSH_S` seconds, as long as there are any; their beginnings are
        spread over the first of these intervals."""

        def send(number: int) -> None:
            first_s = FLUSH_S * number / processes
            times_s = (first_s + (index + 1) * FLUSH_S for index in range(len(self._blocks)))
            due = [
                (due_s, upload) for due_s, upload in zip(times_s, self._blocks, strict=True) if due_s <= self._seconds
            ]
            with self._lock:
                self._sent.due += len(due)
            start_ns = time.time_ns() + round((self._begin_s + first_s - time.monotonic()) * 1e9)
            with self._connect() as client:
                process = self._introduce(client, number, start_ns)
                for due_s, upload in due:
                    time.sleep(max(0.0, self._begin_s + due_s - time.monotonic()))
                    if not self._send_blocks(client, process, upload):
                        break
                    with self._lock:
                        self._sent.late_ms.append((time.monotonic() - self._begin_s - due_s) * 1e3)

        return self._run(send, processes, GRACE_S)

    def send_fast(self) -> Sent:
        """One process after the other sends all uploads, one after the other; one upload at least.

        Raises:
            TimeoutError: the server took none for `GIVE_UP_S` seconds.
        """

        def send(_: int) -> None:
            number = 0
            with self._connect() as client:
                while True:
                    process = self._introduce(client, number, uploads.START_NS)
                    for upload in self._blocks:
                        if not self._send_blocks(client, process, upload):
                            raise TimeoutError(f"the server took no upload for {GIVE_UP_S} s")
                        if time.monotonic() >= self._begin_s + self._seconds:
                            return
                    number += 1

        return self._run(send, 1, GIVE_UP_S)

    def _run(self, send: Callable[[int], None], processes: int, grace_s: float) -> Sent:
        self._begin_s = time.monotonic()
        self._end_s = self._begin_s + self._seconds + grace_s
        begin_cpu_s = time.process_time()
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(send, range(processes)))
        self._sent.seconds = time.monotonic() - self._begin_s
        self._sent.cpu_seconds = time.process_time() - begin_cpu_s
        return self._sent

    def _connect(self) -> QueryClient:
        """To a server that may be busy with others."""
        while True:
            try:
                return flightsrv.client.connect(self._url)
            except Unavailable:
                if time.monotonic() >= self._end_s:
                    raise
                time.sleep(PAUSE_S)

    def _introduce(self, client: QueryClient, number: int, start_ns: int) -> SentProcess:
        process = SentProcess(f"{self._name}-{number}", start_ns)
        streams = uploads.thread_streams(process.process_id, self._threads)
        for upload in uploads.introduction(process.process_id, streams, start_ns):
            self._send(client, upload)
        with self._lock:
            self._sent.processes.append(process)
        return process

    def _send_blocks(self, client: QueryClient, process: SentProcess, upload: Upload) -> bool:
        """As `_send`, under the name of a process."""
        renamed = uploads.of_process(upload, _TEMPLATE, process.process_id)
        begin_s = time.monotonic()
        if not self._send(client, renamed):
            return False
        with self._lock:
            process.acknowledged += 1
            self._sent.ack_ms.append((time.monotonic() - begin_s) * 1e3)
        return True

    def _send(self, client: QueryClient, upload: Upload) -> bool:
        """Send an upload until it is acknowledged; returns False if the end came first."""
        table, batch = upload
        while time.monotonic() < self._end_s:
            try:
                client.ingest(table, batch)
            except Unavailable:
                with self._lock:
                    self._sent.repeated += 1
                time.sleep(PAUSE_S)
            else:
                return True
        return False


@click.command()
@click.option("--url", required=True, help="The server.")
@click.option("--name", required=True, help="What the ids of the processes begin with.")
@click.option("--processes", type=int, help="How many send by the clock, at once; without it, one after the other.")
@click.option("--threads", type=int, required=True, help="Of a process; an upload has one block of each.")
@click.option("--spans", type=int, required=True, help="In a block.")
@click.option("--flushes", type=int, required=True, help="Uploads of a process.")
@click.option("--seconds", type=float, required=True, help="How long to send.")
def main(url: str, name: str, processes: int | None, threads: int, spans: int, flushes: int, seconds: float) -> None:
    """Send what traced processes would send."""
    sender = Sender(url, Live(flushes, threads, spans), name, seconds)
    print(READY, flush=True)
    sys.stdin.readline()
    print((sender.send_fast() if processes is None else sender.send_steadily(processes)).to_json())


if __name__ == "__main__":
    main()
