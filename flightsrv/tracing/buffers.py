"""Events as the threads record them: growing lists of integers, one per thread, emptied by the sender.

A thread alone adds to its lists, always a whole event with one `+=`; the sender alone removes, from the front.
Either is one step for the interpreter, so no lock is needed, and nothing here can block.

`recorder` fills these buffers, `outbox` makes uploads of what it takes from them.
"""

import math
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from flightsrv.tracing.attributes import DROPPED, Noted, noted_chars, raised, settle

THREAD_EVENT_WIDTH = 2
"""Integers of a thread event: ticks, and the scope's code, which is negated for an end.

In place of the code of any event there may be `attributes.Noted`, which is a tuple."""
ASYNC_EVENT_WIDTH = 5
"""Integers of an async event: ticks, code as above, span id, parent's span id or 0, depth."""
LOG_ENTRY_WIDTH = 4
"""Items of an entry of a log: ticks, code, level, text."""
MEASURE_WIDTH = 4
"""Items of the value of a counter: ticks, code, unit, value as a float."""
LINK_WIDTH = 6
"""Items of a link: ticks, code, ticks of the origin, id of its stream, span id or 0, span id of the origin or 0."""
THREAD, ASYNC, LOG, MEASURE, LINK = range(5)
"""Kinds of streams."""
WIDTHS = (THREAD_EVENT_WIDTH, ASYNC_EVENT_WIDTH, LOG_ENTRY_WIDTH, MEASURE_WIDTH, LINK_WIDTH)
"""Columns of the events of each kind of stream."""

MAX_LOG_CHARS = 1 << 22
"""Most text that the log of a thread holds until the sender has come by."""

MAX_NOTED_CHARS = 1 << 22
"""Most text of attributes that a buffer holds until then."""

PIECE_INTEGERS = 1 << 18
"""What the sender takes at a time, so that threads which record wait for milliseconds at most."""

ALERT_SPANS = 1 << 15
"""As soon as a buffer holds so many, or half of what it has room for, the sender is woken."""

LOAN_SPANS = 1 << 16
"""By so many a buffer grows that borrows."""

FIRST_TICKS = -(1 << 63)
"""No clock shows less."""

NOTHING_OPEN = 0
"""Bottom of the stack of open spans; not the code of any scope."""


class OpenSpan:
    """In place of the code of an open span, of which attributes were set."""

    __slots__ = ("attributes", "code")

    def __init__(self, code: int, attributes: dict[str, Any]) -> None:
        self.code = code
        self.attributes = attributes


def code_of(entry: "int | OpenSpan") -> int:
    """The code of an entry of a stack of open spans."""
    return entry.code if isinstance(entry, OpenSpan) else entry


class Owner:
    """Lives as long as the thread that holds it."""

    __slots__ = ("__weakref__",)


class BufferSettings(NamedTuple):
    """What all buffers of a recorder share.

    `capacity_spans` is how many spans a buffer has room for by itself, `reserve_spans` how many more all of them have
    together; `wake_sender` must neither block nor raise.
    """

    capacity_spans: int
    reserve_spans: int
    now: Callable[[], int]
    new_id: Callable[[], str]
    wake_sender: Callable[[], None]


class Reserve:
    """Room that buffers borrow when they are full, until they are emptied: a burst of one thread needs a lot of it, and
    all threads seldom have one at the same time.

    Threads that borrow at the same instant may get a little more than there is; nothing here can block.
    """

    __slots__ = ("_loans", "_max_loans")

    def __init__(self, reserve_spans: int) -> None:
        self._max_loans = math.ceil(reserve_spans / LOAN_SPANS)
        self._loans: list[None] = []

    def borrow(self) -> bool:
        """Take room for `LOAN_SPANS`, if there is some."""
        if len(self._loans) >= self._max_loans:
            return False
        self._loans.append(None)
        return True

    def give_back(self, loans: int) -> None:
        """Give back what was borrowed so many times."""
        del self._loans[:loans]

    def give_back_all(self) -> None:
        """Forget all loans: the buffers that had them are gone."""
        self._loans.clear()


class Buffer:
    """Events of one stream that were not taken yet.

    From `roomy_length` of `events` on, a span has to ask for room: then the sender is woken, more is borrowed, or the
    span is refused. Ends of recorded spans always find a place. `taken_events` have been taken so far, so that is the
    ordinal of the next one, and the last of them had `last_ticks`. If the events are not spans, and belong to a thread,
    `thread_stream_id` is the stream of its spans.
    """

    kind: ClassVar[int]

    __slots__ = (
        "_capacity",
        "_loans",
        "_reserve",
        "_settings",
        "_wake_asked",
        "dropped",
        "events",
        "last_ticks",
        "misplaced_ends",
        "noted_chars",
        "owner",
        "roomy_length",
        "stream_id",
        "taken_events",
        "taken_noted_chars",
        "thread",
        "thread_id",
        "thread_stream_id",
        "width",
    )

    def __init__(
        self, settings: BufferSettings, reserve: Reserve, owner: Owner, spans: "ThreadBuffer | None" = None
    ) -> None:
        self.events: list[Any] = []
        self.width = WIDTHS[self.kind]
        self.owner = weakref.ref(owner)
        self.thread = threading.current_thread()
        self.thread_id = threading.get_native_id()
        self.stream_id = settings.new_id()
        self.thread_stream_id = None if spans is None else spans.stream_id
        self.taken_events = 0
        self.last_ticks = FIRST_TICKS
        self.dropped = 0
        self.misplaced_ends = 0
        self.noted_chars = self.taken_noted_chars = 0
        self._settings = settings
        self._reserve = reserve
        self._loans: list[None] = []
        self._wake_asked = False
        self.open()

    @property
    def has_spans(self) -> bool:
        """Whether its events are of spans, rather than entries of a log, values of counters, or links."""
        return self.kind in (THREAD, ASYNC)

    def open(self) -> None:
        """Take spans, as far as there is room."""
        self._capacity = self._length_of(self._settings.capacity_spans)
        self._set_alert()

    def close(self) -> None:
        """Refuse spans, until opened."""
        self.roomy_length = self._capacity = 0

    def alert_at_first(self) -> None:
        """Have the first span wake the sender, which may not have been started yet."""
        self.roomy_length = 0

    def accepts_another(self) -> bool:
        """For a buffer that is no longer roomy: whether one more span or entry is taken; if not, it is counted."""
        if not self._wake_asked and self._capacity:
            self._wake_asked = True
            self._settings.wake_sender()
        length = len(self.events)
        room = self._room()
        if length >= room and self._capacity and self._reserve.borrow():
            self._loans.append(None)
            room = self._room()
        if length >= room:
            self.dropped += 1
            return False
        # The sender knows, so the next ones need not ask.
        self.roomy_length = room
        return True

    def note(self, code: int, attributes: dict[str, Any]) -> Noted | int:
        """What stands for the code of an event with these attributes, which become its own."""
        if not attributes:
            return code
        chars = settle(attributes)
        if self.noted_chars - self.taken_noted_chars + chars > MAX_NOTED_CHARS:
            attributes = {DROPPED: len(attributes)}
            chars = settle(attributes)
        self.noted_chars += chars
        return code, attributes, chars

    def _set_alert(self) -> None:
        self.roomy_length = min(self._capacity // 2, self._length_of(ALERT_SPANS))

    def _room(self) -> int:
        return self._capacity + len(self._loans) * self._length_of(LOAN_SPANS) if self._capacity else 0

    def _length_of(self, spans: int) -> int:
        return spans * 2 * self.width

    def is_abandoned(self) -> bool:
        """Whether the thread is over, so that nothing more will come."""
        return self.owner() is None

    def take(self) -> Iterator[list[Any]]:
        """Remove all events that are there, in pieces of whole events. For the sender."""
        left = len(self.events)
        most = PIECE_INTEGERS - PIECE_INTEGERS % self.width
        while left:
            length = min(left, most)
            piece = self.events[:length]
            del self.events[:length]
            self.taken_events += length // self.width
            if self.noted_chars:
                self.taken_noted_chars += noted_chars(piece[1 :: self.width])
            left -= length
            yield piece
        loans = len(self._loans)
        del self._loans[:loans]
        self._reserve.give_back(loans)
        self._wake_asked = False
        self._set_alert()


class ThreadBuffer(Buffer):
    """Begins and ends of one thread, which match as parentheses; `Span` adds to it in the ordinary case.

    `open_codes` is the stack of spans that are open: the code of the scope, negated when the span was refused, or an
    `OpenSpan`.
    `is_referred_to` says that other streams are of this thread, so that it is told of even without spans.
    """

    kind = THREAD

    __slots__ = ("is_referred_to", "open_codes")

    def __init__(self, settings: BufferSettings, reserve: Reserve, owner: Owner) -> None:
        super().__init__(settings, reserve, owner)
        self.open_codes: list[int | OpenSpan] = [NOTHING_OPEN]
        self.is_referred_to = False

    def begin_when_crowded(self, code: int) -> None:
        """Record a begin, or remember that the span is refused with all it would have recorded."""
        if self.accepts_another():
            event = (self._settings.now(), code)
            self.events += event
            self.open_codes += (code,)
        else:
            self.open_codes += (-code,)

    def refuse(self, code: int) -> None:
        """Remember that a span is refused."""
        self.open_codes += (-code,)

    def set_attributes(self, code: int | None, attributes: dict[str, Any]) -> bool:
        """Note attributes of the innermost open span of a code, or of any, until it ends; returns whether there is one
        (which may be refused)."""
        open_codes = self.open_codes
        if open_codes[-1] == code:
            open_codes[-1] = OpenSpan(code, attributes)
            return True
        for place in range(len(open_codes) - 1, 0, -1):
            entry = open_codes[place]
            own = code_of(entry)
            if code is None or abs(own) == code:
                if isinstance(entry, OpenSpan):
                    entry.attributes |= attributes
                elif own > 0:
                    open_codes[place] = OpenSpan(own, attributes)
                return True
        return False

    def end_with(self, code: int, error: BaseException | None, is_raised: bool) -> None:
        """End a span of which attributes were set, or one that is not the innermost one: entered and left in no proper
        order.

        Spans within the one that ends are ended with it; they could not be told apart in a stack of spans. The
        end of a span that is not open on this thread is left out.
        """
        open_codes = self.open_codes
        top = open_codes[-1]
        if type(top) is OpenSpan and top.code == code and not is_raised:
            ended = (self._settings.now(), self.note(-code, top.attributes))
            del open_codes[-1]
            self.events += ended
            return
        codes = [abs(code_of(entry)) for entry in open_codes]
        if codes[-1] != code:
            self.misplaced_ends += 1
            if code not in codes:
                return
        ticks = self._settings.now()
        while True:
            innermost = open_codes[-1]
            attributes = innermost.attributes if isinstance(innermost, OpenSpan) else {}
            own = code_of(innermost)
            if own == code and is_raised:
                attributes = attributes | raised(error)
            event = (ticks, self.note(-own, attributes) if attributes else -own) if own > 0 else ()
            del open_codes[-1]
            self.events += event
            if abs(own) == code:
                return


class AsyncBuffer(Buffer):
    """Begins and ends of async spans of one thread's event loop, which match by span id."""

    kind = ASYNC

    __slots__ = ()


class LogBuffer(Buffer):
    """Entries of the log of one thread: lines, and instants.

    `added_chars` and `taken_chars` are the sizes of all texts that came and went: the thread alone changes the one,
    the sender the other.
    """

    kind = LOG

    __slots__ = ("added_chars", "taken_chars")

    def __init__(self, settings: BufferSettings, reserve: Reserve, owner: Owner, spans: ThreadBuffer) -> None:
        super().__init__(settings, reserve, owner, spans)
        self.added_chars = self.taken_chars = 0

    def add(self, code: int, level: int, text: str, attributes: dict[str, Any] | None = None) -> None:
        """Record an entry, unless there is no room."""
        size = len(text)
        chars = self.added_chars - self.taken_chars + size
        if len(self.events) >= self.roomy_length or chars > MAX_LOG_CHARS // 2:
            if not self.accepts_another():
                return
            if chars > MAX_LOG_CHARS:
                self.dropped += 1
                return
        self.added_chars += size
        noted = self.note(code, attributes) if attributes else code
        entry = (self._settings.now(), noted, level, text)
        self.events += entry

    def take(self) -> Iterator[list[Any]]:
        for piece in super().take():
            self.taken_chars += sum(map(len, piece[3::LOG_ENTRY_WIDTH]))
            yield piece


class MeasureBuffer(Buffer):
    """Values of the counters of a process, or of a thread. All threads add to it, each a whole value with one `+=`."""

    kind = MEASURE

    __slots__ = ()

    def add(self, code: int, unit: str, value: float) -> None:
        """Record a value, unless there is no room, or it is none."""
        if len(self.events) >= self.roomy_length and not self.accepts_another():
            return
        event = (self._settings.now(), code, unit, value)
        self.events += event


class LinkBuffer(Buffer):
    """Links to spans of one thread."""

    kind = LINK

    __slots__ = ()

    def add_link(self, code: int, from_ticks: int, from_stream: str, span_id: int, from_span_id: int) -> None:
        """Record a link, unless there is no room."""
        if len(self.events) >= self.roomy_length and not self.accepts_another():
            return
        ticks = self._settings.now()
        event = (ticks, code, min(from_ticks, ticks), from_stream, span_id, from_span_id)
        self.events += event


class Nowhere:
    """Stands in for both buffers while they are made: whatever would be recorded meanwhile is refused.

    Signal handlers, finalizers and traced modules may run just then.
    """

    events: ClassVar[list[Any]] = []
    open_codes: ClassVar[list[int | OpenSpan]] = [NOTHING_OPEN]
    roomy_length = 0
    misplaced_ends = 0

    def accepts_another(self) -> bool:
        return False

    def begin_when_crowded(self, code: int) -> None:
        pass

    def refuse(self, code: int) -> None:
        pass

    def set_attributes(self, code: int | None, attributes: dict[str, Any]) -> bool:
        return False

    def note(self, code: int, attributes: dict[str, Any]) -> Noted | int:
        return code

    def end_with(self, code: int, error: BaseException | None, is_raised: bool) -> None:
        pass

    def add(self, code: int, level: int, text: str, attributes: dict[str, Any] | None = None) -> None:
        pass

    def add_link(self, code: int, from_ticks: int, from_stream: str, span_id: int, from_span_id: int) -> None:
        pass


_NOWHERE = Nowhere()


_MADE_WHEN_NEEDED: dict[str, type[LogBuffer] | type[MeasureBuffer] | type[LinkBuffer]] = {
    "log": LogBuffer,
    "values": MeasureBuffer,
    "links": LinkBuffer,
}


class Threads(threading.local):
    """The buffers of the thread that asks; made when it first does."""

    spans: ThreadBuffer | Nowhere = _NOWHERE
    async_spans: AsyncBuffer | Nowhere = _NOWHERE
    log: LogBuffer | Nowhere
    """The log of the thread; as the next two, made when it is first asked for: most threads have none."""
    values: MeasureBuffer | Nowhere
    """The counters of the thread; most are of the process."""
    links: LinkBuffer | Nowhere
    """The links to spans of the thread."""
    is_silent = False
    """Whether nothing of this thread is recorded."""

    def __init__(self, settings: BufferSettings, reserve: Reserve, register: Callable[..., None]) -> None:
        self._make = (settings, reserve, register)
        self.renew()

    def renew(self) -> None:
        """Give the calling thread new buffers. Spans that are open on it stay as those that were refused: their ends
        are left out."""
        settings, reserve, register = self._make
        self._owner = Owner()
        spans = ThreadBuffer(settings, reserve, self._owner)
        spans.open_codes += (-abs(code_of(entry)) for entry in self.spans.open_codes[1:])
        async_spans = AsyncBuffer(settings, reserve, self._owner)
        register(spans, async_spans)
        self.spans = spans
        self.async_spans = async_spans
        for name in _MADE_WHEN_NEEDED:
            vars(self).pop(name, None)

    def __getattr__(self, name: str) -> Any:
        """What the calling thread does not have yet of `log`, `values` and `links`."""
        if name not in _MADE_WHEN_NEEDED:
            raise AttributeError(name)
        made = self._beside_spans(_MADE_WHEN_NEEDED[name])
        if made is not _NOWHERE:
            setattr(self, name, made)
        return made

    def _beside_spans(
        self, make: type[LogBuffer] | type[MeasureBuffer] | type[LinkBuffer]
    ) -> LogBuffer | MeasureBuffer | LinkBuffer | Nowhere:
        """A further buffer of the thread."""
        spans = self.spans
        if not isinstance(spans, ThreadBuffer) or self.is_silent:
            return _NOWHERE
        settings, reserve, register = self._make
        buffer = make(settings, reserve, self._owner, spans)
        register(buffer)
        spans.is_referred_to = True
        return buffer
