"""The row of this process: what it is, where it runs, and how its clock relates to the time of day."""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flightsrv.tracing.scopes import sendable

if TYPE_CHECKING:
    from flightsrv.telemetry import Process

PROCESS_ID_VARIABLE = "FLIGHTSRV_PROCESS_ID"
"""Environment variable by which a traced process tells those that it starts who their parent is."""

TICKS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class ProcessStart:
    """What is known when recording starts: who, since when, and one moment on both clocks."""

    process_id: str
    parent_process_id: str | None
    start_time_ns: int
    start_ticks: int
    properties: Mapping[str, str]


def begin_process(process_id: str, now: Callable[[], int], properties: Mapping[str, str]) -> ProcessStart:
    """The start of a recording in this process; `now` gives ticks."""
    # The wall clock is read between two readings of the other, whose middle is then at most half a reading off.
    before = now()
    start_time_ns = time.time_ns()
    after = now()
    return ProcessStart(
        process_id,
        os.environ.get(PROCESS_ID_VARIABLE),
        start_time_ns,
        (before + after) // 2,
        {
            "pid": str(os.getpid()),
            "command-line": " ".join(sys.orig_argv),
            "python-version": platform.python_version(),
        }
        | {str(key): str(value) for key, value in properties.items()},
    )


def describe_process(start: ProcessStart) -> "Process":
    """The whole row; looks around on the machine, so it is for the sender's thread."""
    from flightsrv.telemetry import Process

    username, realname = _user()
    return Process(
        process_id=start.process_id,
        tsc_frequency=TICKS_PER_SECOND,
        start_time_ns=start.start_time_ns,
        start_ticks=start.start_ticks,
        exe=sendable(sys.executable),
        username=_sendable_or_none(username),
        realname=_sendable_or_none(realname),
        computer=sendable(platform.node()),
        distro=sendable(_distro()),
        cpu_brand=_sendable_or_none(_cpu_brand()),
        parent_process_id=_sendable_or_none(start.parent_process_id),
        properties={sendable(key): sendable(value) for key, value in start.properties.items()},
    )


def _sendable_or_none(text: str | None) -> str | None:
    return None if text is None else sendable(text)


def _user() -> tuple[str | None, str | None]:
    """(login name, real name)"""
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        return os.environ.get("USER") or os.environ.get("USERNAME"), None
    return entry.pw_name, entry.pw_gecos.partition(",")[0] or None


def _distro() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _cpu_brand() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            brands = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(brands, None) or platform.processor() or platform.machine() or None
    except OSError:
        return platform.processor() or platform.machine() or None
