"""Async spans come out of the bytes as they went into the encoder, on lanes where they nest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.strategies import effort
from tests.model.trace_reader import MAX_DEPTH, Trace, read_trace
from tests.perfetto.recordings import (
    MAX_DESCRIPTOR_BYTES,
    PROCESS,
    START_NS,
    Placed,
    cut,
    deep_spans,
    gaps_ns,
    intern,
    piece_sizes,
    texts,
    whole_pieces,
)
from udtf.errors import CorruptData
from udtf.lake.block_format import Scope
from udtf.lake.matching import OPEN
from udtf.perfetto import async_spans, pieces
from udtf.perfetto.async_spans import AsyncEncoder
from udtf.perfetto.writer import TraceWriter


@dataclass(frozen=True)
class AsyncSpan:
    """A span with the ordinals and times of its events; no end where it was never ended."""

    span_id: int
    parent_span_id: int
    begin_id: int
    begin_ns: int
    name: str = "work"
    end_id: int = OPEN
    end_ns: int = OPEN

    def fits_on(self, other: "AsyncSpan") -> bool:
        """Whether it ends before the other one, if that ends."""
        return self.end_id < other.end_id or other.end_id == OPEN

    @property
    def duration_ns(self) -> int:
        return -1 if self.end_id == OPEN else self.end_ns - self.begin_ns


@st.composite
def recordings(draw: st.DrawFn) -> list[AsyncSpan]:
    """What a program recorded that began and ended spans in any order, below parents that live or do not."""
    steps = draw(st.lists(st.tuples(st.booleans(), st.integers(0, 7), gaps_ns, texts), max_size=50))
    begun: list[AsyncSpan] = []
    running: list[int] = []
    now_ns = START_NS
    for ordinal, (begins, choice, gap_ns, name) in enumerate(steps):
        now_ns += gap_ns
        if begins:
            span_id = 100 + len(begun)
            parent = 0 if choice == 0 or span_id - choice < 100 else span_id - choice
            running.append(len(begun))
            begun.append(AsyncSpan(span_id, parent, ordinal, now_ns, name))
        elif running:
            index = running.pop(choice % len(running))
            begun[index] = AsyncSpan(**{**vars(begun[index]), "end_id": ordinal, "end_ns": now_ns})
    return begun


def nested(recording: Sequence[Placed]) -> list[AsyncSpan]:
    """What a thread recorded as spans that name their parents; where ends were lost, the next span has no parent."""
    spans: list[AsyncSpan] = []
    innermost: list[int] = []
    for number, placed in enumerate(recording, 1):
        span = placed.span
        del innermost[span.depth :]
        parent = innermost[-1] if innermost else 0
        innermost.append(number)
        spans.append(
            AsyncSpan(
                number,
                parent,
                placed.begin_id,
                span.begin_ns,
                span.scope.name,
                OPEN if placed.end_id is None else placed.end_id,
                OPEN if span.end_ns is None else span.end_ns,
            )
        )
    return spans


def plain_lanes(spans: Sequence[AsyncSpan]) -> dict[int, tuple[int, int | None]]:
    """The lane of each span, and the span that it is on top of, by looking at everything every time."""
    lanes: list[list[AsyncSpan]] = []
    places: dict[int, tuple[int, int | None]] = {}
    for span in spans:
        for lane in lanes:
            while lane and lane[-1].end_id < span.begin_id:
                lane.pop()
        own = [i for i, lane in enumerate(lanes) if lane and lane[-1].span_id == span.parent_span_id]
        if own and span.fits_on(lanes[own[0]][-1]) and len(lanes[own[0]]) < MAX_DEPTH:
            number = own[0]
        else:
            number = next((i for i, lane in enumerate(lanes) if not lane), len(lanes))
            if number == len(lanes):
                lanes.append([])
        places[span.span_id] = (number, lanes[number][-1].span_id if lanes[number] else None)
        lanes[number].append(span)
    return places


def encode(
    batches: Sequence[Sequence[AsyncSpan]],
    piece_bytes: int = pieces.PIECE_BYTES,
    rows_at_once: int = 8192,
    stream_id: str = "stream-1",
) -> bytes:
    """A trace of one async stream, where the line of a span's scope is its id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", piece_bytes)
        patch.setattr(async_spans, "_ROWS_AT_ONCE", rows_at_once)
        return b"".join(_parts(batches, piece_bytes, stream_id))


def _parts(batches: Sequence[Sequence[AsyncSpan]], piece_bytes: int, stream_id: str) -> Iterator[bytes]:
    writer = TraceWriter(PROCESS)
    yield writer.descriptors([])
    encoder = AsyncEncoder(PROCESS, stream_id, writer.bodies)
    yield encoder.start()
    for batch in batches:
        interned = intern(writer, [Scope(span.name, "module", "file.py", span.span_id) for span in batch])
        yield from interned.definitions
        columns = [
            np.array([getattr(span, name) for span in batch], np.int64)
            for name in ("begin_id", "end_id", "begin_ns", "end_ns", "span_id", "parent_span_id")
        ]
        parts = encoder.encode(*columns, interned.iids)  # type: ignore[call-arg, arg-type]
        yield from whole_pieces(parts, max(piece_bytes, MAX_DESCRIPTOR_BYTES))
    yield from whole_pieces(encoder.finish(), piece_bytes)


def lanes_of(trace: Trace) -> dict[int, tuple[int, int | None]]:
    """As `plain_lanes`, from a trace."""
    return {
        slice_.source[1]: (
            int(track.name.removeprefix("async ")) - 1,
            slice_.parent.source[1] if slice_.parent and slice_.parent.source else None,
        )
        for track in trace.lanes
        for slice_ in track.slices
        if slice_.source
    }


@given(recordings(), st.data(), piece_sizes, st.sampled_from([1, 2, 8192]))
def test_every_span_is_shown_once_on_its_lane(
    spans: list[AsyncSpan], data: st.DataObject, piece_bytes: int, rows_at_once: int
) -> None:
    """With its own times, name and lane, on top of its own parent or of nothing, however the spans are cut."""
    assert_all_on_their_lanes(read_trace(encode(data.draw(cut(spans)), piece_bytes, rows_at_once)), spans)


@effort(6)
@given(deep_spans().map(nested), st.data(), piece_sizes, st.sampled_from([100, 8192]))
def test_a_span_too_deep_for_its_lane_begins_another(
    spans: list[AsyncSpan], data: st.DataObject, piece_bytes: int, rows_at_once: int
) -> None:
    """As if it had no parent; its own children are on top of it again."""
    assert_all_on_their_lanes(read_trace(encode(data.draw(cut(spans)), piece_bytes, rows_at_once)), spans)


def assert_all_on_their_lanes(trace: Trace, spans: Sequence[AsyncSpan]) -> None:
    found = [s for track in trace.lanes for s in track.slices]
    assert sorted((s.source, s.begin_ns, s.duration_ns, s.name) for s in found) == [
        (("file.py", span.span_id), span.begin_ns, span.duration_ns, span.name) for span in spans
    ]
    assert lanes_of(trace) == plain_lanes(spans)


def test_a_child_that_outlives_its_parent_gets_its_own_lane() -> None:
    """On the parent's lane, one of both would be shown with a wrong end."""
    parent = AsyncSpan(1, 0, 0, START_NS, "parent", 3, START_NS + 20)
    inner = AsyncSpan(2, 1, 1, START_NS + 5, "inner", 2, START_NS + 20)
    late = AsyncSpan(2, 1, 1, START_NS + 5, "late", 4, START_NS + 20)
    assert lanes_of(read_trace(encode([[parent, inner]]))) == {1: (0, None), 2: (0, 1)}
    assert lanes_of(read_trace(encode([[parent, late]]))) == {1: (0, None), 2: (1, None)}


def test_a_lane_is_used_again_when_it_is_empty() -> None:
    """A thousand spans one after the other need one lane, though they touch in time."""
    spans = [AsyncSpan(i + 1, 0, 2 * i, START_NS, "work", 2 * i + 1, START_NS) for i in range(1000)]
    assert {lane for lane, _ in lanes_of(read_trace(encode([spans]))).values()} == {0}


def test_a_lane_is_below_its_process_and_apart_from_other_streams() -> None:
    """Two streams of a process have lanes of the same name, but never of the same uuid."""
    span = AsyncSpan(1, 0, 0, START_NS, "work", 1, START_NS + 1)
    (one,) = read_trace(encode([[span]])).lanes
    (other,) = read_trace(encode([[span]], stream_id="stream-2")).lanes
    assert one.parent_uuid == other.parent_uuid == PROCESS.uuid
    assert one.name == other.name == "async 1"
    assert one.uuid != other.uuid


def test_the_same_spans_give_the_same_bytes() -> None:
    """A trace made again is equal."""
    spans = [AsyncSpan(i + 1, i, i, START_NS + i, "work", 100 - i, START_NS + 100) for i in range(20)]
    assert encode([spans]) == encode([spans])


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    """Its lane could not be told."""
    with pytest.raises(CorruptData, match="ends before it begins"):
        encode([[AsyncSpan(1, 0, 5, START_NS, "work", 5, START_NS)]])
