"""How much memory processes have."""

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int | None = None) -> int:
    """Memory that a process, by default this one, has resident now; 0 if it has ended, or the system does not tell."""
    try:
        return int(Path(f"/proc/{pid or 'self'}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
