"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

TIMEOUT_S = 60.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Raises AssertionError if it does not come to hold within a minute."""
    end_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)
