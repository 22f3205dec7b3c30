"""Where and with what something was measured."""

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("pyarrow", "datafusion", "numpy", "numba", "protobuf", "SQLAlchemy")


def describe_machine() -> dict[str, Any]:
    """Machine, versions, and how busy the machine is with other things: call it before the work begins."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def machine_line(machine: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_bytes'] / (1 << 30):.0f} GiB, "
        f"Python {machine['python']}, pyarrow {machine['packages']['pyarrow']}, "
        f"load {machine['load_before']:.1f} before, commit {machine['commit']}, {machine['time']}"
    )


def write_machine(results: Path, machine: dict[str, Any]) -> None:
    """Beside the results."""
    results.with_suffix(".machine.json").write_text(json.dumps(machine, indent=2) + "\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        described = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
