"""What this process is, where it runs, and how its clock relates to the time of day."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from flightsrv.tracing.scopes import sendable

PROCESS_ID_VARIABLE = "FLIGHTSRV_PROCESS_ID"
"""Environment variable by which a traced process gives its id to those that it starts: that of their parent."""

TICKS_PER_SECOND = 1_000_000_000

Description = dict[str, Any]
"""The row of a process, by column, with times in nanoseconds since the Unix epoch."""


def describe_process(process_id: str, now: Callable[[], int], properties: Mapping[str, str]) -> Description:
    """The row of the calling process; `now` gives ticks.

    It imports, reads files, and asks the system for names. That is for the thread that starts the recording: a child
    forked meanwhile by another thread would find the locks of all this taken for ever.
    """
    import platform

    username, realname = _user()
    return {
        **_identity(process_id, os.environ.get(PROCESS_ID_VARIABLE), now),
        "exe": sendable(sys.executable),
        "username": username and sendable(username),
        "realname": realname and sendable(realname),
        "computer": sendable(platform.node()),
        "distro": sendable(_distro()),
        "cpu_brand": sendable(_cpu_brand()),
        "properties": {
            "pid": str(os.getpid()),
            "command-line": sendable(" ".join(sys.orig_argv)),
            "python-version": platform.python_version(),
        }
        | {sendable(key): sendable(value) for key, value in properties.items()},
    }


def describe_child(
    row: Description, process_id: str, parent_process_id: str | None, now: Callable[[], int]
) -> Description:
    """The row of a child that was forked from the process of a row, and runs where that does."""
    return {
        **row,
        **_identity(process_id, parent_process_id, now),
        "properties": row["properties"] | {"pid": str(os.getpid())},
    }


def _identity(process_id: str, parent_process_id: str | None, now: Callable[[], int]) -> Description:
    # The wall clock is read between two readings of the other, whose middle is then at most half a reading off.
    before = now()
    start_time_ns = time.time_ns()
    after = now()
    return {
        "process_id": process_id,
        "parent_process_id": parent_process_id and sendable(parent_process_id),
        "tsc_frequency": TICKS_PER_SECOND,
        "start_time_ns": start_time_ns,
        "start_ticks": (before + after) // 2,
    }


def _user() -> tuple[str | None, str | None]:
    """(login name, real name)"""
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        return os.environ.get("USER") or os.environ.get("USERNAME"), None
    return entry.pw_name, entry.pw_gecos.partition(",")[0] or None


def _distro() -> str:
    import platform

    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _cpu_brand() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            brands = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            brand = next(brands, None)
    except OSError:
        brand = None
    return brand or platform.processor() or platform.machine()
