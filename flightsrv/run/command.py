"""The command line of `flightsrv run`. It needs the standard library only, as programs do that are traced."""

import os
import resource
import signal
import sys
from collections.abc import Sequence
from optparse import OptionParser
from pathlib import Path
from typing import NoReturn

from flightsrv.run.plan import Plan

_USAGE = """flightsrv run [OPTIONS] SCRIPT [ARGUMENTS]...
       flightsrv run [OPTIONS] -m MODULE [ARGUMENTS]..."""

_DESCRIPTION = """Run a Python program, unchanged, and record it: spans that it makes itself, and calls of functions in
chosen modules. Its output, exit code and signals are those of the program."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the command with these arguments; ends the process."""
    parser = OptionParser(prog="flightsrv run", usage=_USAGE, description=_DESCRIPTION)
    parser.disable_interspersed_args()
    parser.add_option("-m", dest="is_module", action="store_true", help="run a module, as `python -m` does")
    parser.add_option(
        "--modules",
        action="append",
        metavar="PATTERN",
        help="trace the functions of these modules, such as 'app.*'; may be repeated; default: the program itself "
        "(__main__), and with -m its package",
    )
    parser.add_option("--every-call", action="store_true", help="trace the functions of all modules")
    parser.add_option(
        "--to",
        metavar="TARGET",
        help="FILE.pftrace: write a trace at the end; http://HOST:PORT: send to a server; or the folder of a lake. "
        "Files and lakes need the extra `server`. Default: PROGRAM.pftrace",
    )
    options, program = parser.parse_args(list(arguments))
    if not program:
        parser.error("no program was given")
    command = [sys.executable, *(["-m"] if options.is_module else []), *program]
    modules = ["*"] if options.every_call else options.modules or _default_modules(program[0], options.is_module)
    target = options.to or f"{_name(program[0], options.is_module)}.pftrace"
    if target.startswith(("http://", "https://")):
        _replace_this_process(command, Plan(target, modules, is_local=False))
    _run_and_keep(command, modules, target)


def _default_modules(program: str, is_module: bool) -> list[str]:
    package = program.rpartition(".")[0] if is_module else ""
    return ["__main__", *([package, f"{package}.*"] if package else [])]


def _name(program: str, is_module: bool) -> str:
    return program if is_module else Path(program).resolve().stem


def _replace_this_process(command: list[str], plan: Plan) -> NoReturn:
    from flightsrv.tracing.http import Receiver

    try:
        Receiver(plan.url)
    except ValueError as error:
        sys.exit(f"Error: {error}")
    os.execve(command[0], command, plan.environment())


def _run_and_keep(command: Sequence[str], modules: Sequence[str], target: str) -> NoReturn:
    from flightsrv.cli.errors import message_of
    from flightsrv.run import recording

    keep = recording.in_file if target.endswith(".pftrace") else recording.in_lake
    try:
        exit_code = keep(command, modules, target)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        sys.exit(f"Error: {message_of(error)}")
    if exit_code < 0:
        _end_by_signal(-exit_code)
    sys.exit(exit_code)


def _end_by_signal(number: int) -> None:
    """End as the program has ended."""
    sys.stderr.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
