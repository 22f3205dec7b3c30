"""Starts the processes of a server, and others in their place when they end."""

import logging
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue

from flightsrv.server.processes.hub import Hub
from flightsrv.server.processes.ports import held_ports
from flightsrv.stop_signals import StopSignals

log = logging.getLogger(__name__)

MIN_LIFE_S = 2.0
"""A process that has lived for less is replaced when so much time has passed since it began."""


MAX_STOP_S = 90.0
"""How long processes may take to end once they are told to: as long as calls under way may take, and some more."""


class _What(Enum):
    LISTENS = auto()
    ENDED = auto()
    DUE = auto()
    STOP = auto()


@dataclass(frozen=True)
class _Event:
    what: _What
    number: int = -1
    url: str = ""


class _Ended(Exception):
    """A process ended before all of them have listened."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


class Supervisor:
    """The processes of a server.

    Args:
        command: starts one of them; it gets the number of the descriptor of its channel as a further argument.
    """

    def __init__(self, command: Sequence[str], nb_processes: int) -> None:
        self._command = command
        self._nb_processes = nb_processes
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._begin_s: dict[int, float] = {}
        self._events: SimpleQueue[_Event] = SimpleQueue()

    def run(self, host: str, ports: Mapping[str, int]) -> int:
        """Serve until SIGTERM or SIGINT; prints `listening on URL` once all processes listen. Call it from the main
        thread.

        Args:
            ports: where they listen, by name; 0 is a free one.

        Returns:
            The exit code: that of a process that could not begin; 1 where one did not end as it should.

        Raises:
            InvalidArgument: a port is taken.
        """
        signals = StopSignals()

        def wait_for_signal() -> None:
            signals.wait()
            self._events.put(_Event(_What.STOP))

        threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
        with held_ports(host, ports) as held, tempfile.TemporaryDirectory(prefix="flightsrv-") as folder:
            hub = Hub(held, folder)
            try:
                # The first one compiles what has to be, and begins the lake; it tells of what is wrong once.
                url = self._start(hub, [0]) and self._start(hub, range(1, self._nb_processes))
                if url is not None:
                    print(f"listening on {url}", flush=True)
                    self._replace(hub)
            except _Ended as ended:
                self._stop()
                return ended.exit_code
            return self._stop()

    def _start(self, hub: Hub, numbers: Iterable[int]) -> str | None:
        """Start processes; return the url of the last one that listens, or None if they are told to stop meanwhile."""
        starting = set(numbers)
        for number in starting:
            self._begin(hub, number)
        url = ""
        while starting:
            event = self._events.get()
            if event.what is _What.STOP:
                return None
            if event.what is _What.ENDED:
                exit_code = self._processes.pop(event.number).wait()
                raise _Ended(exit_code if exit_code > 0 else 1)
            starting.discard(event.number)
            url = event.url
        return url

    def _replace(self, hub: Hub) -> None:
        """Start another process in the place of each that ends, until they are told to stop."""
        while (event := self._events.get()).what is not _What.STOP:
            if event.what is _What.ENDED:
                exit_code = self._processes.pop(event.number).wait()
                log.error("process %d ended with exit code %d; another one takes its place", event.number, exit_code)
                pause_s = max(0.0, self._begin_s[event.number] + MIN_LIFE_S - time.monotonic())
                due = threading.Timer(pause_s, self._events.put, [_Event(_What.DUE, event.number)])
                due.daemon = True
                due.start()
            elif event.what is _What.DUE:
                self._begin(hub, event.number)

    def _begin(self, hub: Hub, number: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            command = [*self._command, str(descriptor)]
            self._processes[number] = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL)
        self._begin_s[number] = time.monotonic()
        hub.join(
            number,
            ours,
            on_ready=lambda url: self._events.put(_Event(_What.LISTENS, number, url)),
            on_end=lambda: self._events.put(_Event(_What.ENDED, number)),
        )

    def _stop(self) -> int:
        """End all processes, and tell the exit code."""
        log.info("stopping %d processes", len(self._processes))
        deadline_s = time.monotonic() + MAX_STOP_S
        for process in self._processes.values():
            process.terminate()
        exit_codes = []
        for process in self._processes.values():
            try:
                exit_codes.append(process.wait(max(0.0, deadline_s - time.monotonic())))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                exit_codes.append(1)
        # One that has just begun does not know yet what to do when it is told to end.
        failures = [exit_code for exit_code in exit_codes if exit_code not in (0, -signal.SIGTERM)]
        return 1 if failures else 0
