"""How far a trace has come, told to its caller while it is made."""

import threading
from collections.abc import Callable

INTERVAL_SECONDS = 0.1
"""Least time between two messages, but for the last: more than ten a second cannot be read."""


class TraceProgress:
    """Tells `{"type": "progress", "message": "Processing thread 15/50: main-thread", "threads_done": 12,
    "threads_total": 50, "nb_spans": 123456, "size_bytes": 4567890}`, in which numbers only rise: spans and bytes
    that are made, some of them perhaps not sent yet.

    Safe to use from many threads.
    """

    def __init__(self, on_message: Callable[[dict[str, object]], None], clock: Callable[[], float]) -> None:
        self._on_message = on_message
        self._clock = clock
        self._lock = threading.Lock()
        self._told_s: float | None = None
        self._doing = ""
        self._last_begun = 0
        self._threads_before = 0
        self._threads_here = 0
        self._threads_done = 0
        self._threads_total = 0
        self._nb_spans = 0
        self._size_bytes = 0

    def begin(self, threads_total: int) -> None:
        """There are so many threads in all."""
        with self._lock:
            self._threads_total = threads_total

    def begin_process(self, nb_threads: int, size_bytes: int) -> None:
        """Work on a process of so many threads begins, with so many bytes."""
        with self._lock:
            self._threads_before += self._threads_here
            self._threads_here = nb_threads
            self._size_bytes += size_bytes

    def begin_thread(self, number: int, name: str) -> None:
        """Work on a thread of the process begins, numbered from 1. Of those under way, the last one is told."""
        with self._lock:
            number += self._threads_before
            if number > self._last_begun:
                self._last_begun = number
                self._doing = f"Processing thread {number}/{self._threads_total}: {name}"
            self._tell()

    def begin_kind(self, what: str) -> None:
        """Work on a kind of telemetry begins whose streams are no threads."""
        with self._lock:
            self._doing = f"Fetching {what}..."
            self._tell()

    def made(self, *, nb_spans: int = 0, size_bytes: int = 0, threads: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self._nb_spans += nb_spans
            self._size_bytes += size_bytes
            self._threads_done += threads
            self._tell()

    def finish(self) -> None:
        """All is done."""
        with self._lock:
            self._doing = "Trace complete"
            self._told_s = None
            self._tell()

    def _tell(self) -> None:
        """Under the lock, so that messages leave in their order."""
        now_s = self._clock()
        if self._told_s is not None and now_s - self._told_s < INTERVAL_SECONDS:
            return
        self._told_s = now_s
        self._on_message(
            {
                "type": "progress",
                "message": self._doing,
                "threads_done": self._threads_done,
                "threads_total": self._threads_total,
                "nb_spans": self._nb_spans,
                "size_bytes": self._size_bytes,
            }
        )
