"""Programs of this project in processes of their own, without the seconds that their imports take.

They are forked from a process that has imported what a server needs and has done nothing else, one for each process
that runs tests (`multiprocessing`'s forkserver). Tests of the start of a program start it as users do.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["flightsrv.server.lifecycle"])


class ForkedProgram:
    """`python -m module arguments`, with as much of `subprocess.Popen` as the tests need.

    Args:
        log: a file to which standard error is appended, and standard output as well unless it is `piped`.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        log: Path,
        *,
        piped: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        reader, writer = FORKSERVER.Pipe(duplex=False)
        variables = {**os.environ, **(environment or {})}
        output = writer if piped else None
        self._process = FORKSERVER.Process(
            target=_run, args=(module, list(arguments), log, output, variables, Path.cwd())
        )
        self._process.start()
        writer.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.stdout: IO[str] | None = os.fdopen(os.dup(reader.fileno()), "r", encoding="utf-8") if piped else None
        reader.close()

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send it SIGKILL."""
        self._process.kill()


def _run(
    module: str, arguments: list[str], log: Path, output: Connection | None, variables: dict[str, str], folder: Path
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    with log.open("ab") as sink:
        os.dup2(sink.fileno(), 2)
        os.dup2(sink.fileno() if output is None else output.fileno(), 1)
    if output is not None:
        output.close()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
