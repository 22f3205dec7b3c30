"""A program recorded into a lake, and from there into a trace: by a server in this process, for the program alone."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from flightsrv.client import TraceResult, connect
from flightsrv.client.traces import write_trace
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.run.plan import Plan
from flightsrv.server.lifecycle import RunningServer, running_server
from udtf import kernel_cache


def in_lake(command: Sequence[str], modules: Sequence[str], lake: str) -> int:
    """Run a program, record it into a lake; returns its exit code, or the negative number of the signal that ended it.

    Raises:
        Exception: the lake cannot be opened, or the program not be started.
    """
    with _server(lake) as server:
        exit_code = _run(command, modules, server)
    _tell(f"recorded into {lake}")
    return exit_code


def in_file(command: Sequence[str], modules: Sequence[str], path: str) -> int:
    """Run a program, and write a trace of it and its children; otherwise as `in_lake`.

    Raises:
        OSError: the trace cannot be written; known before the program is run, as far as that can be.
    """
    if not os.access(Path(path).resolve().parent, os.W_OK):
        raise PermissionError(None, "no folder to write to", path)
    with tempfile.TemporaryDirectory(prefix="flightsrv-run-") as lake, _server(lake) as server:
        exit_code = _run(command, modules, server)
        with connect(server.url) as client:
            process_ids = client.query("SELECT process_id FROM processes ORDER BY start_time")["process_id"].to_pylist()
            if not process_ids:
                _tell(f"{path} is not written: the program has sent nothing")
                return exit_code
            with client.trace_chunks(process_ids) as chunks:
                _tell_result(path, write_trace(chunks, path), len(process_ids))
    return exit_code


@contextmanager
def _server(lake: str) -> Iterator[RunningServer]:
    kernel_cache.report_compilation(_tell)
    with running_server(lake) as server:
        yield server


def _run(command: Sequence[str], modules: Sequence[str], server: RunningServer) -> int:
    """Run a program to its end. Signals go on to it, but for those that its terminal sends to it anyway."""
    with running_gateway(server.url, GatewaySettings(port=0)) as receiver:
        plan = Plan(receiver.url, modules, is_local=True)
        process: subprocess.Popen[bytes] | None = None
        early: list[int] = []

        def pass_on(number: int, _: FrameType | None) -> None:
            if number == signal.SIGINT and _is_in_foreground():
                return
            if process is None:
                early.append(number)
            else:
                process.send_signal(number)

        numbers = [
            number
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
            if signal.getsignal(number) != signal.SIG_IGN
        ]
        before = {number: signal.signal(number, pass_on) for number in numbers}
        try:
            process = subprocess.Popen(command, env=plan.environment())
            for number in early:
                process.send_signal(number)
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Whether a terminal sends its signals to this process, and so to the program."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _tell_result(path: str, result: TraceResult, nb_processes: int) -> None:
    processes = f" of {nb_processes} processes" if nb_processes > 1 else ""
    _tell(f"wrote {path}: {result.nb_spans:,} spans{processes}; open https://ui.perfetto.dev and drop the file there")
    for count, what in ((result.dropped_spans, "spans were dropped"), (result.lost_events, "events were lost")):
        if count:
            _tell(f"{count:,} {what}; the trace shows where")
    for failed in result.failed_threads:
        _tell(f"thread {failed.stream_id} is missing: {failed.message}")


def _tell(text: str) -> None:
    print(f"flightsrv run: {text}", file=sys.stderr, flush=True)
