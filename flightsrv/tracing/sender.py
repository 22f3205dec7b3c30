"""The background thread that empties the buffers and sends what was in them.

It promises the host: nothing it does raises or waits in a thread of the host; what it keeps in memory and on disk is
bounded; what was recorded first is sent first and sent whole. A receiver that fails is tried again, later and later.
"""

import _thread
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from flightsrv.tracing.outbox import Outbox
from flightsrv.tracing.recorder import Recorder, activate, active
from flightsrv.tracing.sinks import RefusedError, Sink, SinkFactory
from flightsrv.tracing.vitals import Vitals

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


class Sender:
    """Sends what a recorder records in this process, until it is stopped.

    Args:
        keep_every_s: how often buffers are emptied into the spool between two sendings; None: never.
        on_start: called in the thread that starts the sender.
        vitals: read while the thread runs; None: none.
    """

    def __init__(
        self,
        recorder: Recorder,
        outbox: Outbox,
        make_sink: SinkFactory,
        send_every_s: float,
        keep_every_s: float | None = None,
        on_start: Callable[[], None] = lambda: None,
        vitals: Vitals | None = None,
    ) -> None:
        self.failed_sends = 0
        self.is_started = False
        self._recorder = recorder
        self._outbox = outbox
        self._make_sink = make_sink
        self._sink: Sink | None = None
        self._send_every_s = send_every_s
        self._keep_every_s = keep_every_s
        self._on_start = on_start
        self._vitals = vitals
        # To put into it never blocks, not even within a signal handler. None says that a buffer fills up.
        self._requests: SimpleQueue[FlushRequest | None] = SimpleQueue()
        self._waiting: list[FlushRequest] = []
        self._backoff_s = FIRST_BACKOFF_S
        self._next_attempt = 0.0
        self._next_sending = time.monotonic() + send_every_s
        self._looks_for_abandoned = True
        self._start_lock = threading.Lock()
        self._is_over = False

    def start(self) -> bool:
        """Start the thread, unless it was started before; returns whether there is one. Never blocks."""
        # Never released, so that one of those who come at the same time starts it.
        if self._start_lock.acquire(blocking=False):
            # Before there is one, because a signal handler that raises may interrupt this.
            self.is_started = self._recorder.has_sender = True
            try:
                # Not `threading.Thread`, whose start waits and takes locks that an interrupted thread may hold.
                _thread.start_new_thread(self._run, ())
            except RuntimeError:
                _log.warning("tracing is off: there is no room for a thread that sends", exc_info=True)
                self.is_started = self._recorder.has_sender = False
                self._is_over = True
                if active() is self._recorder:
                    activate(None)
            else:
                self._on_start()
        return self.is_started

    def wake(self) -> None:
        """Have the buffers emptied soon."""
        if self.start():
            self._requests.put(None)

    def flush(self, timeout_s: float, is_last: bool = False) -> bool:
        """Wait until everything recorded so far is sent, at most so long; returns whether it is.

        After the last flush the thread ends, unless the receiver keeps it waiting.
        """
        request = FlushRequest(timeout_s, is_last)
        if self.is_started:
            self._requests.put(request)
        # Asked now, because the thread may have looked for requests for the last time before this one came.
        if not self.is_started or self._is_over:
            return self._is_empty()
        # A little longer than the thread waits itself, to hear how it went.
        request.is_done.wait(timeout_s + 0.2)
        return request.is_sent

    def _is_empty(self) -> bool:
        if self._outbox.pending_events:
            return False
        return self.is_started or not any(buffer.events for buffer in list(self._recorder.buffers))

    def _run(self) -> None:
        try:
            self._recorder.silence_this_thread()
            if self._vitals is not None:
                self._vitals.begin()
            while not self._is_over:
                self._await_request()
                is_sent = self._try_to_send()
                self._is_over = self._answer(is_sent)
        except BaseException:
            # A defect of this library; the program goes on without it.
            _log.exception("tracing is off: sending has failed")
            if active() is self._recorder:
                activate(None)
        finally:
            self._is_over = True
            if self._vitals is not None:
                self._vitals.end()
            self._answer_late_requests()

    def _await_request(self) -> None:
        """Wait for a request, for the next attempt that a caller waits for, or for the ordinary interval."""
        until = max(self._next_attempt, 0.0 if self._waiting else self._next_sending)
        timeout_s = max(0.0, until - time.monotonic())
        if self._keep_every_s is not None:
            timeout_s = min(timeout_s, self._keep_every_s)
        if self._vitals is not None:
            timeout_s = min(timeout_s, self._vitals.wait_s())
        try:
            request = self._requests.get(timeout=timeout_s)
        except Empty:
            return
        # Whatever was asked, what is recorded is sent.
        self._next_sending = 0.0
        if request is not None:
            self._waiting.append(request)
            self._next_attempt = 0.0

    def _try_to_send(self) -> bool:
        """One attempt, if it is time for one; returns whether all recorded before it is sent."""
        try:
            if self._vitals is not None and active() is self._recorder:
                self._vitals.read_if_due()
            is_all_collected = self._outbox.collect()
            now = time.monotonic()
            if now < self._next_attempt or (now < self._next_sending and not self._waiting):
                return False
            self._next_sending = now + self._send_every_s
            if self._sink is None:
                self._sink = self._make_sink()
            self._outbox.send(self._sink)
        except Exception as error:
            self._fail(error)
            return False
        self._backoff_s = FIRST_BACKOFF_S
        if self._looks_for_abandoned and not self._waiting:
            self._looks_for_abandoned = False
            self._send_abandoned(self._sink)
        # Spans that were open when recording ended may have ended since.
        is_left = self._outbox.pending_events and any(request.is_last for request in self._waiting)
        return is_all_collected and not is_left

    def _fail(self, error: Exception) -> None:
        self.failed_sends += 1
        level = logging.WARNING if self._backoff_s == FIRST_BACKOFF_S else logging.DEBUG
        _log.log(level, "telemetry could not be sent, and will be sent again: %s", error)
        self._next_attempt = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)
        # Processes that were over meanwhile have left something behind.
        self._looks_for_abandoned = True
        self._outbox.keep()

    def _send_abandoned(self, sink: Sink) -> None:
        """Send what processes that are over have left in the spool for this receiver, and tidy up what they left for
        others."""
        spool = self._outbox.spool
        if spool is None:
            return
        try:
            for abandoned in spool.abandoned():
                for upload in abandoned.uploads():
                    try:
                        sink.send(upload)
                    except RefusedError as error:
                        _log.warning("an upload of an earlier process was refused: %s", error)
                    self._outbox.collect()
            for path, size_bytes in spool.remove_outdated():
                message = "telemetry that no program has sent for a week was removed: %d bytes in %s"
                _log.warning(message, size_bytes, path)
        except Exception as error:
            _log.debug("telemetry of an earlier process could not be sent: %s", error)
            self._looks_for_abandoned = True

    def _answer(self, is_sent: bool) -> bool:
        """Answer the requests that need no further attempt; returns whether the last of all was among them."""
        answered = [
            request
            for request in self._waiting
            if is_sent or max(self._next_attempt, time.monotonic()) > request.deadline
        ]
        is_over = any(request.is_last for request in answered)
        if is_over:
            self._close()
        for request in answered:
            self._waiting.remove(request)
            request.is_sent = is_sent
            request.is_done.set()
        return is_over

    def _answer_late_requests(self) -> None:
        """Answer those that came while the last one was answered; nothing was recorded after that one."""
        requests = self._waiting
        while not self._requests.empty():
            request = self._requests.get()
            if request is not None:
                requests.append(request)
        for request in requests:
            request.is_sent = self._is_empty()
            request.is_done.set()

    def _close(self) -> None:
        try:
            self._outbox.keep()
            if self._outbox.spool is not None:
                self._outbox.spool.close()
            if self._sink is not None:
                self._sink.close()
        except Exception:
            _log.warning("the sink of telemetry could not be closed", exc_info=True)
