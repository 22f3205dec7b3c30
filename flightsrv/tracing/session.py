"""One recording from `start` to `stop`, the end of the interpreter, and what happens to it on a fork."""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FrameType, TracebackType
from typing import NamedTuple, Self

from flightsrv.tracing import links, uwsgi
from flightsrv.tracing.async_spans import next_span_id
from flightsrv.tracing.buffers import BufferSettings
from flightsrv.tracing.outbox import Outbox
from flightsrv.tracing.process_info import PROCESS_ID_VARIABLE, Description, describe_child, describe_process
from flightsrv.tracing.recorder import Recorder, activate, active
from flightsrv.tracing.sender import Sender
from flightsrv.tracing.sinks import SinkFactory
from flightsrv.tracing.spool import Spool, default_root
from flightsrv.tracing.vitals import Vitals

TOKEN_VARIABLE = "FLIGHTSRV_TOKEN"
"""Environment variable of the bearer token for a server that wants one."""

RECEIVER_VARIABLE = "FLIGHTSRV_TRACE_TO"
"""Environment variable that says where to send by default. A traced process sets it for those that it starts."""

_log = logging.getLogger("flightsrv.tracing")


def _new_id() -> str:
    # `uuid` would do the same, and load a library of the system.
    return os.urandom(16).hex()


class Settings(NamedTuple):
    """How much is kept, how often it is sent, how long the end may take; and the clock and the ids, for tests.

    capacity_spans: spans that each thread may record before the sender has come by.
    reserve_spans: spans that all threads together may record beyond that; further ones are dropped.
    max_pending_bytes: encoded telemetry kept in memory while the receiver does not answer, and there is no spool.
    max_spool_bytes: encoded telemetry kept on disk while the receiver does not answer; that of other processes counts.
    spool: folder for that; None: `$FLIGHTSRV_SPOOL`, or one of the user in `$TMPDIR`; empty: no spool.
    keep_every_s: how often what was recorded is put on disk, so that a crash loses no more; None: not before it fails
        to be sent.
    stop_timeout_s: longest that `stop`, and with it the end of the program, waits for the last sending.
    vitals_every_s: how often the vital signs of the process are recorded, as counters; None: not at all.
    flush_on_sigterm: send what was recorded when SIGTERM ends the program, unless the program has a handler of its own.
    links: what a span hands over to a `ThreadPoolExecutor`, to `anyio`, or to a thread that it starts, runs in a span
        of its own, linked to it.
    now: nanoseconds, never decreasing.
    """

    send_every_s: float = 2.0
    capacity_spans: int = 65_536
    reserve_spans: int = 1 << 20
    max_pending_bytes: int = 16 << 20
    max_spool_bytes: int = 256 << 20
    spool: str | None = None
    keep_every_s: float | None = None
    stop_timeout_s: float = 5.0
    vitals_every_s: float | None = 1.0
    flush_on_sigterm: bool = True
    links: bool = True
    now: Callable[[], int] = time.perf_counter_ns
    new_id: Callable[[], str] = _new_id


class Statistics(NamedTuple):
    """What became of what was recorded. A span is two events, a line of a log, a value of a counter or a link is one.

    dropped_spans: refused because a buffer was full; their begins and ends are both missing.
    dropped_entries: the same of logs, counters and links; and values that are no numbers.
    misplaced_ends: spans left in another order, thread or context than they were entered in.
    sent_events, refused_events: taken by the receiver, and turned down by it, or impossible to encode.
    pending_events: uploads made of them wait to be sent.
    spooled_events: how many of those are on disk, where they outlive the process.
    failed_sends: attempts that did not succeed.
    """

    is_recording: bool = False
    dropped_spans: int = 0
    dropped_entries: int = 0
    misplaced_ends: int = 0
    sent_events: int = 0
    refused_events: int = 0
    pending_events: int = 0
    spooled_events: int = 0
    failed_sends: int = 0


class Session:
    """One recording; also a context manager that stops it. `start` makes it.

    In a child that is forked meanwhile it goes on as the recording of the child, a process of its own.

    Attributes:
        process_id, parent_process_id: those of the process, in the tables of the server.
        is_inherited: whether it was started by a process that this one was forked from.
    """

    def __init__(
        self, make_sink: SinkFactory, receiver: str | None, settings: Settings, properties: Mapping[str, str]
    ) -> None:
        """`receiver` names the server in the spool; without, only a spool that is asked for is used."""
        self.process_id = settings.new_id()
        self.parent_process_id = os.environ.get(PROCESS_ID_VARIABLE)
        self.is_inherited = False
        self._settings = settings
        self._make_sink = make_sink
        self._vitals: Vitals | None = None
        self._receiver = receiver
        self.recorder = Recorder(
            BufferSettings(
                settings.capacity_spans, settings.reserve_spans, settings.now, settings.new_id, self._wake_sender
            )
        )
        self._make_sender(describe_process(self.process_id, settings.now, properties))

    def begin(self, is_told_at_once: bool) -> None:
        """Record and send from now on; `is_told_at_once` says whether the server hears of a process without spans."""
        if not uwsgi.lets_threads_run():
            _log.warning("tracing is off: uWSGI lets no thread run that sends, but with its option enable-threads")
            return
        if not is_told_at_once:
            self.recorder.await_sender()
        # In this order, because the sender switches recording off where it cannot send.
        activate(self.recorder)
        if is_told_at_once:
            self._sender.start()
        if self._settings.flush_on_sigterm:
            _Sigterm.take()
        if self._settings.links:
            links.install()

    def follow_fork(self) -> None:
        """In a forked child, go on as another process, which sends when it has recorded something.

        Its parent is this process, or, if that has recorded nothing, the parent of this process.
        """
        self.is_inherited = True
        if self._sender.is_started:
            self.parent_process_id = self.process_id
        self.process_id = self._settings.new_id()
        if self._outbox.spool is not None:
            self._outbox.spool.forget()
        self.recorder.follow_fork(next_span_id())
        self._make_sender(
            describe_child(self._description, self.process_id, self.parent_process_id, self._settings.now)
        )

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until all that was recorded so far is sent, at most so long; returns whether it is."""
        _notice_fork()
        return self._sender.flush(timeout_s)

    def stop(self, timeout_s: float | None = None) -> bool:
        """Record no more and send what is left, within a time that is by default that of the settings.

        Returns whether everything was sent. What was not is on disk for the next process that sends to the same server,
        or gone; the log says which. Harmless when repeated.
        """
        _notice_fork()
        if not _end(self):
            return True
        is_sent = self._sender.flush(self._settings.stop_timeout_s if timeout_s is None else timeout_s, is_last=True)
        _Sigterm.give_back()
        self._tell_losses()
        return is_sent

    def stop_or_wait(self) -> None:
        """Stop, or, if it is being stopped just now, wait until what is left is sent."""
        if _state.running is self:
            self.stop()
        else:
            self._sender.flush(self._settings.stop_timeout_s)

    def statistics(self) -> Statistics:
        """Counts as of now."""
        outbox, recorder = self._outbox, self.recorder
        buffers = list(recorder.buffers)
        dropped_spans, dropped_entries = recorder.count_drops()
        return Statistics(
            is_recording=active() is recorder,
            dropped_spans=dropped_spans,
            dropped_entries=dropped_entries,
            misplaced_ends=recorder.retired_misplaced_ends + sum(buffer.misplaced_ends for buffer in buffers),
            sent_events=outbox.sent_events,
            refused_events=outbox.refused_events,
            pending_events=outbox.pending_events,
            spooled_events=outbox.spooled_events,
            failed_sends=self._sender.failed_sends,
        )

    def _make_sender(self, description: Description) -> None:
        settings = self._settings
        root = settings.spool
        if root is None and self._receiver is not None and hasattr(os, "getuid"):
            root = default_root()
        spool = Spool(root, self._receiver or "", self.process_id, settings.max_spool_bytes) if root else None
        is_forked = self._vitals is not None
        if self._vitals is not None:
            # That of the parent.
            self._vitals.end()
        every_s = settings.vitals_every_s
        self._vitals = None if every_s is None else Vitals(self.recorder, every_s, is_forked)
        self._description = description
        self._outbox = Outbox(
            description, self.recorder, spool, settings.max_pending_bytes, is_safe=settings.keep_every_s is not None
        )
        self._sender = Sender(
            self.recorder,
            self._outbox,
            self._make_sink,
            settings.send_every_s,
            settings.keep_every_s,
            on_start=partial(_stop_with_multiprocessing, self),
            vitals=self._vitals,
        )

    def _wake_sender(self) -> None:
        _notice_fork()
        self._sender.wake()

    def _tell_losses(self) -> None:
        statistics = self.statistics()
        lost = statistics.pending_events - statistics.spooled_events
        if lost or statistics.dropped_spans or statistics.dropped_entries or statistics.refused_events:
            _log.warning("not all that was traced could be kept: %s", statistics)
        if statistics.misplaced_ends:
            _log.warning(
                "%d spans were left in another order, thread or context than they were entered in, so others may have "
                "ended too late or too early: `span` is for one thread, without `await` or a switch of greenlets in it",
                statistics.misplaced_ends,
            )
        if statistics.spooled_events and self._outbox.spool is not None:
            _log.warning(
                "%d events could not be sent; they are in %s, and the next program that sends to the same server sends "
                "them",
                *(statistics.spooled_events, self._outbox.spool.path),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _State:
    """The session that records, the one before it, the environment that it found, and the process it is in."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.running: Session | None = None
        self.latest: Session | None = None
        self.inherited: dict[str, str | None] = {}
        self.lock = threading.RLock()


_state = _State()


def start(
    url: str | None = None,
    *,
    token: str | None = None,
    ca_file: str | None = None,
    sink: SinkFactory | None = None,
    properties: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Session:
    """Begin to record, and send to the HTTP port of a server at `url`, by default that of the environment
    (`FLIGHTSRV_TRACE_TO`), or to a sink of your own.

    The receiver need not be there yet. Recording ends with `stop` or with the program, which waits a moment for
    what is left to be sent. A program that is recorded already goes on as it was, with a warning. A child made by
    `fork` goes on recording, as a process of its own, whose parent is this one; so does one that `multiprocessing`
    starts, as soon as it imports this. Other programs that this one starts record if they call `start`.

    Args:
        token: bearer token for the server, if it wants one; by default that of the environment, `FLIGHTSRV_TOKEN`.
        ca_file: certificates (PEM) that the server's must be signed by, at an `https://` url; by default those of the
            system.
        sink: makes what takes the telemetry, for each process that sends.
        properties: added to those of the process.

    Raises:
        ValueError: both `url` and `sink` are given, or neither, nor is there one in the environment; or the url or the
            token is none.
    """
    if url is None and sink is None:
        url = os.environ.get(RECEIVER_VARIABLE) or None
    if (url is None) == (sink is None):
        raise ValueError(f"give one of url and sink, or set {RECEIVER_VARIABLE}: where to send what is recorded")
    return _start(url, token, ca_file, sink, properties or {}, settings or Settings(), is_told_at_once=True)


def _start(
    url: str | None,
    token: str | None,
    ca_file: str | None,
    sink: SinkFactory | None,
    properties: Mapping[str, str],
    settings: Settings,
    is_told_at_once: bool,
) -> Session:
    with _state.lock:
        if _state.running is not None and not _state.running.is_inherited:
            _log.warning("tracing was started already, and goes on as it is")
            return _state.running
        if url is not None:
            # What it imports is no concern of programs that never start.
            from flightsrv.tracing.http import HttpSink, Receiver

            sink = partial(HttpSink, Receiver(url, token or os.environ.get(TOKEN_VARIABLE), ca_file))
        assert sink is not None
        if _state.running is not None:
            _state.running.stop()
        session = Session(sink, url, settings, properties)
        _state.running = _state.latest = session
        _state.inherited = {name: os.environ.get(name) for name in (PROCESS_ID_VARIABLE, RECEIVER_VARIABLE)}
        os.environ[PROCESS_ID_VARIABLE] = session.process_id
        if url is not None:
            os.environ[RECEIVER_VARIABLE] = url
        session.begin(is_told_at_once)
        uwsgi.follow_forks(_follow_fork_of_uwsgi)
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


def start_in_spawned_child() -> None:
    """Record this process as its parent does, if `multiprocessing` has started it without forking."""
    process = sys.modules.get("multiprocessing.process")
    url = os.environ.get(RECEIVER_VARIABLE)
    if process is None or url is None:
        return
    if process.parent_process() is None and not getattr(process.current_process(), "_inheriting", False):
        return
    try:
        _start(url, None, None, None, {}, Settings(), is_told_at_once=False)
    except Exception as error:
        _log.warning("tracing is off in this process: %s", error)


def _end(session: Session) -> bool:
    """End the recording of a session; returns whether it was not ended before."""
    with _state.lock:
        if _state.running is not session:
            return False
        _state.running = None
        activate(None)
        links.remove()
        for name, value in _state.inherited.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        return True


class _Sigterm:
    """The handler of SIGTERM, where the program has none: it sends, and then ends the process as if it were not there.

    The handler of SIGINT raises KeyboardInterrupt, which ends a program in the usual way.
    """

    @classmethod
    def take(cls) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # Not in the main thread of a subinterpreter.
            with suppress(ValueError):
                signal.signal(signal.SIGTERM, cls._end_process)

    @classmethod
    def give_back(cls) -> None:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == cls._end_process
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    @classmethod
    def _end_process(cls, number: int, frame: FrameType | None) -> None:
        session = _state.latest
        if session is not None:
            session.stop_or_wait()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _stop_with_multiprocessing(session: Session) -> None:
    """Processes of `multiprocessing` end without the end of the interpreter."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        # After the finalizers of the program, which may record.
        util.Finalize(None, session.stop, exitpriority=-100)


def _follow_fork() -> None:
    """In a forked child: the buffers are the parent's, and the thread that sends is not here."""
    _state.pid = os.getpid()
    _state.lock = threading.RLock()
    session = _state.running
    if session is None:
        return
    try:
        session.follow_fork()
        # A recording that the child starts itself has the same parent.
        _state.inherited[PROCESS_ID_VARIABLE] = session.parent_process_id
        os.environ[PROCESS_ID_VARIABLE] = session.process_id
    except Exception:
        activate(None)
        _log.warning("tracing is off in this child process", exc_info=True)


def _notice_fork() -> None:
    """Follow a fork that Python was not told of, as a library in C makes it."""
    if _state.pid != os.getpid():
        _log.warning(
            "this process was forked by other means than Python's; tracing begins now, what it recorded before is lost"
        )
        _follow_fork()


def _follow_fork_of_uwsgi() -> None:
    if _state.pid != os.getpid():
        _follow_fork()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_follow_fork)
