"""What processes recorded, and how that reaches a server.

A `Whole` process is sent when it is over, one thread after the other, in large blocks: what an importer sends. A `Live`
one sends as a tracing library does: every `FLUSH_S` seconds one upload with one block of each thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from benchmarks import generator, uploads
from benchmarks.generator import BEGIN, Events
from benchmarks.uploads import START_NS, NewBlock, Upload

FLUSH_S = 2
_FLUSH_NS = FLUSH_S * 1_000_000_000

MIN_BLOCK_EVENTS = 4_096
MAX_BLOCK_EVENTS = 65_536
"""Of processes that are sent as a whole."""

MAX_UPLOAD_BLOCKS = 1_500
"""In an upload of a sender that was away: about four megabytes."""

Arrival = Literal["in order", "late", "away"]
"""How blocks of a live process come. 'late': one of ten comes up to half a minute after its time, one of a hundred up
to five minutes, and the blocks of an upload are in any order. 'away': no server could be reached for most of the
recording, but for a minute at either end; then all of that comes at once."""


class Recording(Protocol):
    """One process that is measured, with others beside it or not."""

    @property
    def process_id(self) -> str:
        """No two recordings have the same."""

    def uploads(self) -> Iterator[Upload]:
        """All that is sent, in that order; the same every time."""


@dataclass(frozen=True)
class Window:
    """A range of time, in nanoseconds since the Unix epoch; both ends are included."""

    begin_ns: int
    end_ns: int


@dataclass(frozen=True)
class Whole:
    """A process sent as a whole: `spans_per_thread` by each thread, and async spans by one event loop."""

    threads: int
    spans_per_thread: int
    async_spans: int = 0

    @property
    def process_id(self) -> str:
        return f"{self.threads}x{self.spans_per_thread}" + (f".{self.async_spans}-async" if self.async_spans else "")

    @property
    def spans(self) -> int:
        """Of threads."""
        return self.threads * self.spans_per_thread

    def uploads(self) -> Iterator[Upload]:
        return self.uploads_as(self.process_id)

    def uploads_as(self, process_id: str) -> Iterator[Upload]:
        """The same under another name."""
        streams = uploads.thread_streams(process_id, self.threads)
        loop = uploads.async_stream(process_id)
        yield from uploads.introduction(process_id, [*streams, loop] if self.async_spans else streams)
        # A sender sends full blocks of what a busy thread records, and smaller ones from time to time of the others.
        sizes = np.random.default_rng(generator.SEED).integers(MIN_BLOCK_EVENTS, MAX_BLOCK_EVENTS, self.threads)
        for thread, (stream, block_events) in enumerate(zip(streams, sizes.tolist(), strict=True)):
            events = generator.thread_events(self.spans_per_thread, thread)
            yield uploads.blocks(list(uploads.cut(stream, events, block_events)))
        if self.async_spans:
            events = generator.async_events(self.async_spans)
            yield uploads.blocks(list(uploads.cut(loop, events, MAX_BLOCK_EVENTS)))


@dataclass(frozen=True)
class Live:
    """A process that sends while it runs.

    Attributes:
        spans_per_flush: of one thread.
        repeats: how many times it does the same; each time its threads begin with their outermost span anew.
    """

    flushes: int
    threads: int = 50
    spans_per_flush: int = 100
    repeats: int = 1
    arrival: Arrival = "in order"

    @property
    def process_id(self) -> str:
        repeats = f"{self.repeats}x" if self.repeats > 1 else ""
        name = f"{self.threads}x{repeats}{self.flushes}x{self.spans_per_flush}"
        return name if self.arrival == "in order" else f"{name}-{self.arrival}"

    @property
    def spans(self) -> int:
        return self.blocks * self.spans_per_flush

    @property
    def blocks(self) -> int:
        return self.threads * self.repeats * self.flushes

    @property
    def seconds(self) -> int:
        return self.repeats * self.flushes * FLUSH_S

    def window(self, begin_s: float, seconds: float) -> Window:
        """So many seconds, from `begin_s` seconds after the start on."""
        begin_ns = START_NS + round(begin_s * 1e9)
        return Window(begin_ns, begin_ns + round(seconds * 1e9) - 1)

    @property
    def minute(self) -> Window:
        """The one that begins in the middle of the repeat in the middle."""
        flush = self.repeats // 2 * self.flushes + self.flushes // 2
        return self.window(flush * FLUSH_S, 60)

    def spans_within(self, window: Window) -> int:
        """How many spans overlap a window: those that began before its end, less those that ended before its begin."""
        begin, end = window.begin_ns - START_NS, window.end_ns - START_NS
        count = 0
        for events in self._thread_events():
            for repeat in range(self.repeats):
                ticks = events.ticks + repeat * self._repeat_ns
                is_begin = events.kinds == BEGIN
                count += int((ticks[is_begin] <= end).sum()) - int((ticks[~is_begin] < begin).sum())
        return count

    def uploads(self) -> Iterator[Upload]:
        return self.uploads_as(self.process_id)

    def uploads_as(self, process_id: str) -> Iterator[Upload]:
        """The same under another name."""
        yield from uploads.introduction(process_id, uploads.thread_streams(process_id, self.threads))
        for new in self.blocks_as(process_id):
            yield uploads.blocks(new)

    def blocks_as(self, process_id: str) -> Iterator[list[NewBlock]]:
        """Those of each upload."""
        streams = uploads.thread_streams(process_id, self.threads)
        threads = list(self._thread_events())
        block_events = 2 * self.spans_per_flush
        for arrived in self._arrivals():
            new = []
            for flush, thread in arrived:
                repeat, begin = flush // self.flushes, flush % self.flushes * block_events
                events = threads[thread].part(begin, begin + block_events).later(repeat * self._repeat_ns)
                new.append(NewBlock(streams[thread], flush * block_events, events))
            yield new

    def _thread_events(self) -> Iterator[Events]:
        """Of each thread, one repeat."""
        for thread in range(self.threads):
            yield generator.steady_thread_events(self.flushes, self.spans_per_flush, _FLUSH_NS, thread)

    @property
    def _repeat_ns(self) -> int:
        return self.flushes * _FLUSH_NS

    def _arrivals(self) -> Iterator[list[tuple[int, int]]]:
        """Flush and thread of the blocks of each upload."""
        flushes = self.repeats * self.flushes
        if self.arrival == "late":
            yield from _late(flushes, self.threads)
            return
        in_order = [[(flush, thread) for thread in range(self.threads)] for flush in range(flushes)]
        if self.arrival == "in order":
            yield from in_order
            return
        minute = 60 // FLUSH_S
        yield from in_order[:minute]
        missed = [block for flush in in_order[minute:-minute] for block in flush]
        for begin in range(0, len(missed), MAX_UPLOAD_BLOCKS):
            yield missed[begin : begin + MAX_UPLOAD_BLOCKS]
        yield from in_order[-minute:]


@dataclass(frozen=True)
class Among:
    """A live process in a lake that has others of the same kind."""

    measured: Live
    others: int
    other: Live

    @property
    def process_id(self) -> str:
        return f"{self.measured.process_id}-among-{self.others}"

    @property
    def minute(self) -> Window:
        return self.measured.minute

    def spans_within(self, window: Window) -> int:
        return self.measured.spans_within(window)

    def uploads(self) -> Iterator[Upload]:
        sent = list(self.other.uploads())
        for number in range(self.others):
            for upload in sent:
                yield uploads.of_process(upload, self.other.process_id, f"{self.other.process_id}-other-{number}")
        yield from self.measured.uploads_as(self.process_id)


def _late(flushes: int, threads: int) -> list[list[tuple[int, int]]]:
    """Flush and thread of the blocks of each upload, for blocks that are late; no upload is empty."""
    random = np.random.default_rng(generator.SEED)
    chance = random.random((flushes, threads))
    most = np.select([chance < 0.01, chance < 0.1], [300 // FLUSH_S, 30 // FLUSH_S], 0)
    delays = np.ceil(most * random.random((flushes, threads))).astype(int)
    arrived: dict[int, list[tuple[int, int]]] = {}
    for flush, thread in random.permutation([(flush, thread) for flush in range(flushes) for thread in range(threads)]):
        arrived.setdefault(int(flush + delays[flush, thread]), []).append((int(flush), int(thread)))
    return [arrived[flush] for flush in sorted(arrived)]


WARM_UP = Whole(2, 100, async_spans=100)
"""Traced before anything is measured, so that a server has loaded its code."""

SMALL = Whole(50, 100)
MILLION = Whole(50, 20_000)
TEN_MILLION = Whole(50, 200_000)
MANY_THREADS = Whole(500, 200)

HOUR = Live(3_600 // FLUSH_S)
DAY = Live(3_600 // FLUSH_S, repeats=24)
MILLION_BLOCKS = Live(20_000, spans_per_flush=2)

TWELVE_MINUTES = Live(720 // FLUSH_S, threads=20)
TWELVE_MINUTES_LATE = Live(720 // FLUSH_S, threads=20, arrival="late")
TWELVE_MINUTES_AWAY = Live(720 // FLUSH_S, threads=20, arrival="away")

TWO_MINUTES = Live(120 // FLUSH_S)
AMONG_A_HUNDRED = Among(TWO_MINUTES, 99, Live(30 // FLUSH_S, threads=10))

RECORDINGS: tuple[Recording, ...] = (
    *(SMALL, MILLION, TEN_MILLION, MANY_THREADS, HOUR),
    *(TWELVE_MINUTES, TWELVE_MINUTES_LATE, TWELVE_MINUTES_AWAY, TWO_MINUTES, AMONG_A_HUNDRED),
)
"""Those that the default run needs."""
