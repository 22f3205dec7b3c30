"""How much memory this process takes while it does something."""

from collections.abc import Callable
from pathlib import Path


def peak_growth_bytes(work: Callable[[], object]) -> int:
    """By how much the memory of this process rises, at most, while it works."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = _peak_bytes()
    work()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
