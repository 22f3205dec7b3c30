"""Clients that are waited for: to take what was sent, or to send more. Those that do neither must not keep a place for
ever that others wait for."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from flightsrv.flight.call import Call

CANCELLED_PATIENCE_S = 2.0
"""How long the client of a call that was cancelled, or is out of time, may take to come and hear it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Wait:
    call: Call
    context: grpc.ServicerContext
    begin_s: float


class StallWatch:
    """Ends calls whose clients let the server wait for too long, from the moment it is made until `close`.

    The thread of such a call cannot do so itself: it waits within gRPC. Safe to use from many threads.
    """

    def __init__(self, max_stall_s: float) -> None:
        self._max_stall_s = max_stall_s
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall watch", daemon=True)
        self._thread.start()

    @contextmanager
    def waiting(self, call: Call, context: grpc.ServicerContext) -> Iterator[None]:
        """The server waits for the client of a call for the length of a `with` block."""
        wait = _Wait(call, context, time.monotonic())
        with self._lock:
            self._waits.add(wait)
        try:
            yield
        finally:
            with self._lock:
                self._waits.discard(wait)

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(min(1.0, self._max_stall_s / 4)):
            with self._lock:
                waits = list(self._waits)
            for wait in waits:
                self._look(wait)

    def _look(self, wait: _Wait) -> None:
        waited_s = time.monotonic() - wait.begin_s
        if waited_s > self._max_stall_s:
            log.info(
                "%s has neither sent nor taken anything for %.0f s; its call is ended", wait.context.peer(), waited_s
            )
        elif waited_s < CANCELLED_PATIENCE_S or not wait.call.is_cancelled():
            return
        wait.context.cancel()
