"""Random spans of a thread in plain Python, and the way from there through the encoder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.model.trace_reader import MAX_DEPTH, Trace, Track
from udtf.lake.block_format import Scope, scope_array
from udtf.lake.matching import OPEN
from udtf.lake.scopes import hashed, scope_hashes
from udtf.perfetto import pieces
from udtf.perfetto.interning import Interned
from udtf.perfetto.perfetto_trace_pb2 import Trace as Packets
from udtf.perfetto.span_table import SpanTable
from udtf.perfetto.threads import ThreadEncoder
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack
from udtf.perfetto.writer import TraceWriter
from udtf.views.kind import Part
from udtf.views.spans import Spans

START_NS = 1_767_225_600_000_000_000
PROCESS = ProcessTrack("process-1", "program", "4242", START_NS)
THREAD = ThreadTrack("stream-1", "main", "4242")

AnySpan = TypeVar("AnySpan")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scopes = st.builds(Scope, texts, texts, texts, st.integers(0, 2**32 - 1))
scope_lists = st.lists(scopes, min_size=1, max_size=6)
gaps_ns = st.sampled_from([0, 0, 1, 127, 128, 16_383, 16_384, 2**21, 2**28 - 1, 2**28, 2**40])
MAX_DESCRIPTOR_BYTES = 100
"""More than the descriptor of a track below a process or a thread takes."""
piece_sizes = st.sampled_from([pieces.MAX_EVENT_BYTES, 150, pieces.PIECE_BYTES])


@dataclass(frozen=True)
class Span:
    """A span of a thread; `end_ns` is None if it was never ended."""

    begin_ns: int
    end_ns: int | None
    depth: int
    scope: Scope


@dataclass(frozen=True)
class Shown:
    """A slice as a trace shows it."""

    begin_ns: int
    duration_ns: int
    depth: int
    name: str
    source: tuple[str, int] | None


def shown(track: Track) -> list[Shown]:
    """The slices of a track, in order of their begins."""
    return [Shown(s.begin_ns, s.duration_ns, s.depth, s.name, s.source) for s in track.slices]


def shown_of_thread(trace: Trace, thread: ThreadTrack) -> list[list[Shown]]:
    """The slices of a thread's track, then those of each track below it, which are named in order."""
    track = trace.tracks[thread.uuid]
    below = trace.tracks_below(track)
    assert [t.name for t in below] == [f"deeper than {MAX_DEPTH * (i + 1)}" for i in range(len(below))]
    return [shown(t) for t in (track, *below)]


def expected(spans: Iterable[Span]) -> list[Shown]:
    """What a trace must show of spans."""
    return [
        Shown(
            span.begin_ns,
            -1 if span.end_ns is None else span.end_ns - span.begin_ns,
            span.depth,
            span.scope.name,
            (span.scope.filename, span.scope.line),
        )
        for span in spans
    ]


@st.composite
def thread_spans(draw: st.DrawFn) -> list[Span]:
    """What a thread recorded that began and ended spans as it liked, in order of the begins."""
    choices = draw(scope_lists)
    steps = draw(st.lists(st.tuples(st.booleans(), gaps_ns, st.sampled_from(choices)), max_size=60))
    begun: list[tuple[int, int, Scope]] = []
    ends: dict[int, int] = {}
    stack: list[int] = []
    now_ns = START_NS
    for begins, gap_ns, scope in steps:
        now_ns += gap_ns
        if begins:
            begun.append((now_ns, len(stack), scope))
            stack.append(len(begun) - 1)
        elif stack:
            ends[stack.pop()] = now_ns
    return [Span(begin_ns, ends.get(i), depth, scope) for i, (begin_ns, depth, scope) in enumerate(begun)]


@dataclass(frozen=True)
class Placed:
    """A span of a thread, the ordinals of its events, and how many spans were open below it, lost ones among them."""

    span: Span
    begin_id: int
    end_id: int | None
    place: int


@st.composite
def deep_spans(draw: st.DrawFn) -> list[Placed]:
    """What a thread recorded that went down and up around the depths where tracks are full, losing ends at times."""
    choices = draw(scope_lists)
    places = st.sampled_from([0, 1, 300, *range(510, 516), *range(1023, 1027)])
    gaps = st.sampled_from([0, 0, 1, 2**21])
    legs = draw(st.lists(st.tuples(places, gaps, st.sampled_from([False, False, False, True])), max_size=8))
    begun: list[Placed] = []
    stack: list[int] = []
    lost = ordinal = 0
    now_ns = START_NS
    for place, gap_ns, loses in legs:
        while lost + len(stack) != place and (stack or lost < place):
            now_ns += gap_ns
            if lost + len(stack) < place:
                span = Span(now_ns, None, len(stack), choices[len(begun) % len(choices)])
                begun.append(Placed(span, ordinal, None, lost + len(stack)))
                stack.append(len(begun) - 1)
            else:
                ended = stack.pop()
                begun[ended] = replace(begun[ended], end_id=ordinal, span=replace(begun[ended].span, end_ns=now_ns))
            ordinal += 1
        if loses:
            lost += len(stack)
            stack = []
    return begun


def expected_on_tracks(recording: Iterable[Placed]) -> list[list[Shown]]:
    """What the tracks of a thread must show: each only as many open spans as the trace processor takes."""
    tracks: list[list[Shown]] = [[]]
    for placed in recording:
        number, depth = divmod(placed.place, MAX_DEPTH)
        tracks += [[] for _ in range(len(tracks), number + 1)]
        tracks[number] += expected([replace(placed.span, depth=depth)])
    return tracks


@st.composite
def cut(draw: st.DrawFn, spans: Sequence[AnySpan]) -> list[list[AnySpan]]:
    """The spans in batches, some of them perhaps empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(spans)), max_size=4)))
    bounds = [0, *cuts, len(spans)]
    return [list(spans[begin:end]) for begin, end in pairwise(bounds)]


def intern(writer: TraceWriter, table: Sequence[Scope]) -> Interned:
    """The scopes with the ids of a writer."""
    array = scope_array(table)
    return writer.intern(array, scope_hashes(array))


def encode_thread(
    writer: TraceWriter, thread: ThreadTrack, batches: Iterable[Sequence[Span]], piece_bytes: int = pieces.PIECE_BYTES
) -> bytes:
    """The bytes of a thread, each batch with a scope table of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", piece_bytes)
        return b"".join(_thread_pieces(writer, thread, batches, piece_bytes))


def _thread_pieces(
    writer: TraceWriter, thread: ThreadTrack, batches: Iterable[Sequence[Span]], piece_bytes: int
) -> Iterator[bytes]:
    encoder = ThreadEncoder(thread, writer.bodies)
    yield encoder.start()
    for batch in batches:
        scopes = list(dict.fromkeys(span.scope for span in reversed(batch)))
        # As two partitions have them, each with scopes of its own, and not in order.
        half = len(batch) // 2
        parts = [part_of(batch[half:], scopes[::-1], 1), part_of(batch[:half], scopes, 0)]
        definitions, table = SpanTable.of(writer, parts, np.zeros(2, np.int32), 1)
        yield from definitions
        yield from whole_pieces(
            encoder.encode(table, table.of_stream(0)),
            max(piece_bytes, MAX_DESCRIPTOR_BYTES),
        )
    yield from whole_pieces(encoder.finish(), piece_bytes)


def part_of(spans: Sequence[Span], scopes: Sequence[Scope], run: int) -> Part[Spans]:
    """Spans of one run, as a partition has them."""
    columns = Spans(
        np.arange(len(spans)),
        np.full(len(spans), -1),
        np.array([span.depth for span in spans], np.int32),
        np.array([span.begin_ns for span in spans], np.int64),
        np.array([OPEN if span.end_ns is None else span.end_ns for span in spans], np.int64),
        np.array([scopes.index(span.scope) for span in spans], np.int32),
    )
    return Part(columns, np.array([run]), np.array([0, len(spans)]), hashed(scope_array(scopes)))


def whole_pieces(parts: Iterable[memoryview], piece_bytes: int) -> Iterator[bytes]:
    """The pieces, each checked to hold some packets, all of them whole, and no more bytes than allowed."""
    for part in parts:
        assert 0 < len(part) <= piece_bytes
        assert Packets.FromString(part).packet
        yield bytes(part)
