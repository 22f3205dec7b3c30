"""One recording from `start` to `stop`, the end of the interpreter, and what happens to it on a fork."""

import atexit
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flightsrv.tracing.buffers import BufferSettings
from flightsrv.tracing.process_info import PROCESS_ID_VARIABLE, begin_process, describe_process
from flightsrv.tracing.recorder import Recorder, activate, active
from flightsrv.tracing.sender import Requests, Sender
from flightsrv.tracing.sinks import FlightSink, LakeSink, Sink

if TYPE_CHECKING:
    from flightsrv.client import Tls

_log = logging.getLogger("flightsrv.tracing")


def _new_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Settings:
    """How much is kept, how often it is sent, how long the end may take; and the clock and the ids, for tests.

    capacity_spans: spans that each thread may record before the sender has come by.
    reserve_spans: spans that all threads together may record beyond that; further ones are dropped.
    max_pending_bytes: encoded telemetry kept while the receiver does not answer.
    stop_timeout_s: longest that `stop`, and with it the end of the program, waits for the last sending.
    now: nanoseconds, never decreasing.
    """

    send_every_s: float = 2.0
    capacity_spans: int = 65_536
    reserve_spans: int = 1 << 20
    max_pending_bytes: int = 64 << 20
    stop_timeout_s: float = 5.0
    now: Callable[[], int] = time.perf_counter_ns
    new_id: Callable[[], str] = _new_uuid


@dataclass(frozen=True)
class Statistics:
    """What became of what was recorded. A span is two events.

    dropped_spans: refused because a buffer was full; their begins and ends are both missing.
    misplaced_ends: spans left in another order, thread or context than they were entered in.
    sent_events, refused_events: taken by the receiver, and turned down by it.
    pending_events: blocks made of them wait to be sent.
    failed_sends: attempts that did not succeed.
    """

    is_recording: bool = False
    dropped_spans: int = 0
    misplaced_ends: int = 0
    sent_events: int = 0
    refused_events: int = 0
    pending_events: int = 0
    failed_sends: int = 0


class Session:
    """One recording; also a context manager that stops it. `start` makes it."""

    def __init__(self, sink: Sink, settings: Settings, properties: Mapping[str, str]) -> None:
        requests: Requests = SimpleQueue()
        wake_sender = partial(requests.put, None)
        self.process_id = settings.new_id()
        self.recorder = Recorder(
            BufferSettings(settings.capacity_spans, settings.reserve_spans, settings.now, settings.new_id, wake_sender)
        )
        self._settings = settings
        self._sender = Sender(
            self.recorder,
            requests,
            sink,
            partial(describe_process, begin_process(self.process_id, settings.now, properties)),
            settings.send_every_s,
            settings.max_pending_bytes,
        )

    def begin(self) -> None:
        """Record and send from now on."""
        # In this order, because the sender switches recording off where it cannot send.
        activate(self.recorder)
        self._sender.start()

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until all that was recorded so far is sent, at most so long; returns whether it is."""
        return self._sender.flush(timeout_s)

    def stop(self, timeout_s: float | None = None) -> bool:
        """Record no more and send what is left, within a time that is by default that of the settings.

        Returns whether everything was sent; what was not is gone, and the log says so. Harmless when repeated.
        """
        if not _end(self):
            return True
        is_sent = self._sender.flush(self._settings.stop_timeout_s if timeout_s is None else timeout_s, is_last=True)
        statistics = self.statistics()
        if not is_sent or statistics.dropped_spans or statistics.refused_events:
            _log.warning("not all that was traced could be kept: %s", statistics)
        return is_sent

    def statistics(self) -> Statistics:
        """Counts as of now."""
        sent, refused, pending = self._sender.totals()
        recorder = self.recorder
        buffers = list(recorder.buffers)
        return Statistics(
            is_recording=active() is recorder,
            dropped_spans=recorder.retired_drops + sum(buffer.dropped_spans for buffer in buffers),
            misplaced_ends=recorder.retired_misplaced_ends + sum(buffer.misplaced_ends for buffer in buffers),
            sent_events=sent,
            refused_events=refused,
            pending_events=pending,
            failed_sends=self._sender.failed_sends,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


@dataclass
class _State:
    """The session that records, the one before it, and the environment that it found."""

    running: Session | None = None
    latest: Session | None = None
    inherited_process_id: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def start(
    url: str | None = None,
    *,
    token: str | None = None,
    tls: "Tls | None" = None,
    lake: str | None = None,
    sink: Sink | None = None,
    properties: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Session:
    """Begin to record, and send to a server at `url`, into a lake (a folder or URL), or to a sink of your own.

    The receiver need not be there yet. Recording ends with `stop` or with the program, which waits a moment for
    what is left to be sent. A program that is recorded already goes on as it was, with a warning. Processes that
    this one starts inherit its id in the environment as that of their parent; a child made by `fork` records
    nothing until it calls `start` itself.

    Args:
        token: bearer token for the server, if it wants one.
        tls: a `flightsrv.client.Tls`, which says whom to believe in at a `grpc+tls://` url.
        properties: added to those of the process.

    Raises:
        ValueError: not exactly one of `url`, `lake` and `sink` is given.
    """
    if [url, lake, sink].count(None) != 2:
        raise ValueError("give one of url, lake and sink: where to send what is recorded")
    # Libraries that the sender imports want this one, which can no longer be imported while the program ends.
    import concurrent.futures.thread  # noqa: F401

    with _state.lock:
        if _state.running is not None:
            _log.warning("tracing was started already, and goes on as it is")
            return _state.running
        if url is not None:
            sink = FlightSink(url, token, tls)
        elif lake is not None:
            sink = LakeSink(lake)
        assert sink is not None
        session = Session(sink, settings or Settings(), properties or {})
        _state.running = _state.latest = session
        _state.inherited_process_id = os.environ.get(PROCESS_ID_VARIABLE)
        os.environ[PROCESS_ID_VARIABLE] = session.process_id
        session.begin()
        return session


def stop(timeout_s: float | None = None) -> bool:
    """Stop the recording, if there is one; see `Session.stop`."""
    session = _state.running
    return session is None or session.stop(timeout_s)


def flush(timeout_s: float = 30.0) -> bool:
    """Wait until all that was recorded so far is sent, at most so long; returns whether it is."""
    session = _state.running
    return session is None or session.flush(timeout_s)


def statistics() -> Statistics:
    """Counts of the recording, or of the latest one."""
    session = _state.latest
    return Statistics() if session is None else session.statistics()


def _end(session: Session) -> bool:
    """End the recording of a session; returns whether it was not ended before."""
    with _state.lock:
        if _state.running is not session:
            return False
        _state.running = None
        activate(None)
        if _state.inherited_process_id is None:
            os.environ.pop(PROCESS_ID_VARIABLE, None)
        else:
            os.environ[PROCESS_ID_VARIABLE] = _state.inherited_process_id
        return True


_parents: list[_State] = []


def _forget_parent() -> None:
    """In a forked child: the buffers and connections are the parent's, and the thread that sends is not here."""
    global _state
    activate(None)
    # Kept, because connections that are shared with the parent must not be closed from here.
    _parents.append(_state)
    _state = _State()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
