"""The background thread that empties the buffers and sends what was in them.

It promises the host: nothing it does raises or waits in a thread of the host; what it keeps in memory is bounded;
what was recorded first is sent first and sent whole. A receiver that fails is tried again, later and later.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from flightsrv.tracing.imports import importing
from flightsrv.tracing.recorder import Recorder, activate, active
from flightsrv.tracing.sinks import Sink

if TYPE_CHECKING:
    from flightsrv.telemetry import Process
    from flightsrv.tracing.outbox import Outbox

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 30.0

_log = logging.getLogger("flightsrv.tracing")


class FlushRequest:
    """Asks for everything to be sent, until a deadline on the monotonic clock; `is_last` ends the thread."""

    def __init__(self, timeout_s: float, is_last: bool) -> None:
        self.deadline = time.monotonic() + timeout_s
        self.is_last = is_last
        self.is_sent = False
        self.is_done = threading.Event()


Requests: TypeAlias = "SimpleQueue[FlushRequest | None]"
"""What the sender is asked; None says that a buffer fills up. To put into it never blocks, not even within a
signal handler."""


class Sender:
    """Sends what a recorder records, until it is stopped.

    `describe` gives the row of the process; it is called in the background.
    """

    def __init__(
        self,
        recorder: Recorder,
        requests: Requests,
        sink: Sink,
        describe: "Callable[[], Process]",
        send_every_s: float,
        max_pending_bytes: int,
    ) -> None:
        self.failed_sends = 0
        self._recorder = recorder
        self._requests = requests
        self._sink = sink
        self._describe = describe
        self._send_every_s = send_every_s
        self._max_pending_bytes = max_pending_bytes
        self._outbox: Outbox | None = None
        self._waiting: list[FlushRequest] = []
        self._backoff_s = FIRST_BACKOFF_S
        self._next_attempt = 0.0
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="flightsrv-tracing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def flush(self, timeout_s: float, is_last: bool = False) -> bool:
        """Wait until everything recorded so far is sent, at most so long; returns whether it is.

        After the last flush the thread ends, unless the receiver keeps it waiting.
        """
        if not self._thread.is_alive():
            # It has ended, or lives in the process that this one was forked from.
            return self.totals()[2] == 0
        request = FlushRequest(timeout_s, is_last)
        self._requests.put(request)
        if self._is_over:
            # The thread may have looked for requests for the last time before this one came.
            return self.totals()[2] == 0
        # A little longer than the thread waits itself, to hear how it went.
        request.is_done.wait(timeout_s + 0.2)
        return request.is_sent

    def totals(self) -> tuple[int, int, int]:
        """Events (sent, refused by the receiver, pending here)."""
        outbox = self._outbox
        if outbox is None:
            return 0, 0, 0
        return outbox.sent_events, outbox.refused_events, outbox.pending_events

    def _run(self) -> None:
        self._recorder.silence_this_thread()
        outbox = self._make_outbox()
        while not self._is_over:
            self._await_request()
            is_sent = outbox is not None and self._try_to_send(outbox)
            self._is_over = self._answer(is_sent, gives_up=outbox is None)
        self._answer_late_requests()

    def _make_outbox(self) -> "Outbox | None":
        """The outbox; or none, with recording switched off, where the libraries that it needs are missing."""
        try:
            with importing:
                from flightsrv.tracing.outbox import Outbox

                # It imports as well, and asks the system for names: the C library locks what that needs.
                process = self._describe()
            self._outbox = Outbox(process, self._recorder, self._max_pending_bytes)
        except Exception:
            _log.warning("tracing is off: telemetry cannot be sent from this process", exc_info=True)
            if active() is self._recorder:
                activate(None)
        return self._outbox

    def _await_request(self) -> None:
        """Wait for a request, for the next attempt that somebody waits for, or for the ordinary interval."""
        timeout_s = self._send_every_s
        if self._waiting:
            timeout_s = min(timeout_s, max(0.0, self._next_attempt - time.monotonic()))
        try:
            request = self._requests.get(timeout=timeout_s)
        except Empty:
            return
        if request is not None:
            self._waiting.append(request)
            self._next_attempt = 0.0

    def _try_to_send(self, outbox: "Outbox") -> bool:
        """One attempt, unless an earlier failure says to wait; returns whether all recorded before it is sent."""
        try:
            is_all_collected = outbox.collect()
            if time.monotonic() < self._next_attempt:
                return False
            outbox.send(self._sink)
        except Exception as error:
            self.failed_sends += 1
            level = logging.WARNING if self._backoff_s == FIRST_BACKOFF_S else logging.DEBUG
            _log.log(level, "telemetry could not be sent, and will be sent again: %s", error)
            self._next_attempt = time.monotonic() + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)
            return False
        self._backoff_s = FIRST_BACKOFF_S
        return is_all_collected

    def _answer(self, is_sent: bool, gives_up: bool) -> bool:
        """Answer the requests that need no further attempt; returns whether the last of all was among them."""
        answered = [
            request
            for request in self._waiting
            if is_sent or gives_up or max(self._next_attempt, time.monotonic()) > request.deadline
        ]
        is_over = any(request.is_last for request in answered)
        if is_over:
            self._close_sink()
        for request in answered:
            self._waiting.remove(request)
            request.is_sent = is_sent
            request.is_done.set()
        return is_over

    def _answer_late_requests(self) -> None:
        """Answer those that came while the last one was answered; nothing was recorded after that one."""
        while not self._requests.empty():
            request = self._requests.get()
            if request is not None:
                request.is_sent = self.totals()[2] == 0
                request.is_done.set()

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except Exception:
            _log.warning("the sink of telemetry could not be closed", exc_info=True)
