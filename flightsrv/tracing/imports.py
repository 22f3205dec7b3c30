"""Imports in the background, and forks of the program: in a child that is forked meanwhile, an import of the same
module would wait for ever for a thread that is not there.
"""

import os
import threading

PATIENCE_S = 30.0
"""How long a fork waits for imports; they take a second at most, but for strange file systems."""

importing = threading.Lock()
"""Held while the sender imports, or does what else must not be cut in two by a fork."""


class _Fork:
    is_held = False


def _before_fork() -> None:
    _Fork.is_held = importing.acquire(timeout=PATIENCE_S)


def _after_fork() -> None:
    if _Fork.is_held:
        _Fork.is_held = False
        importing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
