"""Ctrl-C while a library call waits for the network."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")

_GRACE_SECONDS = 5.0


def run_interruptibly(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """Do the work; on Ctrl-C cancel it, wait until it has cleaned up, and raise KeyboardInterrupt. Work that cannot be
    cancelled is left to end by itself.

    Python handles signals between two statements of the main thread, and a read from the network is one long
    statement: therefore the work runs in another thread.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    # A daemon, so that work that cannot be cancelled does not keep the program.
    threading.Thread(target=run, name="command", daemon=True).start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        if cancel is not None:
            cancel()
            wait([outcome], _GRACE_SECONDS)
        raise
