"""What the views must hold, given the blocks that are stored.

A run is a maximal sequence of stored blocks without a hole between them. A thread's stack starts empty with
each run: what was open before a hole stays unfinished, and an end with nothing open is an orphan. Async events
match by their id, so a hole only takes the events that were in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.model.telemetry import BEGIN, Attributes, Block, Event, Process, Scope, Stream


@dataclass(frozen=True)
class TimeRange:
    """Nanoseconds, both ends inclusive."""

    begin_ns: int
    end_ns: int


@dataclass(frozen=True)
class Span:
    """A span of either kind; `end_ns` is None while it is unfinished."""

    stream_id: str
    id: int
    parent: int
    depth: int
    begin_ns: int
    end_ns: int | None
    scope: Scope
    attributes: Attributes = ()

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.begin_ns

    def overlaps(self, time_range: TimeRange | None) -> bool:
        if time_range is None:
            return True
        return self.begin_ns <= time_range.end_ns and (self.end_ns is None or self.end_ns >= time_range.begin_ns)


@dataclass(frozen=True)
class StreamSpans:
    """All spans of a stream by id, those left open by an earlier run, and what could not be told."""

    spans: tuple[Span, ...]
    abandoned: frozenset[int]
    """Ids of spans still open when their run ended at a hole."""
    orphan_ends: int
    lost_events: int


def stored_blocks(stream: Stream, blocks: Iterable[Block]) -> list[Block]:
    """The stream's blocks among those given, each once, in order."""
    mine = {block.object_offset: block for block in blocks if block.stream.stream_id == stream.stream_id}
    return [mine[offset] for offset in sorted(mine)]


def runs(stream: Stream, blocks: Iterable[Block]) -> list[list[Block]]:
    """The stream's stored blocks, in runs without a hole."""
    found: list[list[Block]] = []
    for block in stored_blocks(stream, blocks):
        if found and found[-1][-1].end_offset == block.object_offset:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def lost_events(stream: Stream, blocks: Iterable[Block]) -> int:
    """Events in the holes before, not after, a stored block; the hole at the very start counts."""
    stored = stored_blocks(stream, blocks)
    return stored[-1].end_offset - sum(len(block.events) for block in stored) if stored else 0


def thread_spans(process: Process, stream: Stream, blocks: Iterable[Block]) -> StreamSpans:
    """Begins and ends matched as parentheses."""
    blocks = list(blocks)
    spans: dict[int, Span] = {}
    abandoned: set[int] = set()
    orphan_ends = 0
    stack: list[int] = []
    for run in runs(stream, blocks):
        abandoned |= set(stack)
        stack = []
        for block in run:
            for index, event in enumerate(block.events):
                time_ns = process.time_ns(event.ticks)
                if event.kind == BEGIN:
                    span_id = block.object_offset + index
                    parent = stack[-1] if stack else -1
                    spans[span_id] = Span(
                        stream.stream_id, span_id, parent, len(stack), time_ns, None, event.scope, event.attributes
                    )
                    stack.append(span_id)
                elif stack:
                    open_id = stack.pop()
                    spans[open_id] = _ended(spans[open_id], event, time_ns)
                else:
                    orphan_ends += 1
    return StreamSpans(
        tuple(spans[key] for key in sorted(spans)), frozenset(abandoned), orphan_ends, lost_events(stream, blocks)
    )


def async_spans(process: Process, stream: Stream, blocks: Iterable[Block]) -> StreamSpans:
    """Begins and ends matched by span id."""
    blocks = list(blocks)
    spans: dict[int, Span] = {}
    orphan_ends = 0
    for block in stored_blocks(stream, blocks):
        for event in block.events:
            time_ns = process.time_ns(event.ticks)
            if event.kind == BEGIN:
                spans[event.span_id] = Span(
                    stream.stream_id,
                    event.span_id,
                    event.parent_span_id,
                    event.depth,
                    time_ns,
                    None,
                    event.scope,
                    event.attributes,
                )
            elif event.span_id in spans:
                spans[event.span_id] = _ended(spans[event.span_id], event, time_ns)
            else:
                orphan_ends += 1
    return StreamSpans(tuple(spans.values()), frozenset(), orphan_ends, lost_events(stream, blocks))


def _ended(span: Span, end: Event, time_ns: int) -> Span:
    """What was noted at the end goes before what was noted at the begin."""
    attributes = tuple({**dict(span.attributes), **dict(end.attributes)}.items())
    return replace(span, end_ns=time_ns, attributes=attributes)


def stream_spans(process: Process, stream: Stream, blocks: Iterable[Block]) -> StreamSpans:
    """The spans of a stream of either kind."""
    return (async_spans if stream.is_async else thread_spans)(process, stream, blocks)


@dataclass(frozen=True)
class AsyncEvent:
    """One row of `async_events`."""

    stream_id: str
    block_id: str
    time_ns: int
    event_type: str
    span_id: int
    parent_span_id: int
    depth: int
    scope: Scope
    attributes: Attributes


def async_events(process: Process, blocks: Iterable[Block], time_range: TimeRange | None = None) -> list[AsyncEvent]:
    """The events of the spans that overlap the range, in no order; orphan ends belong to no span."""
    blocks = list(blocks)
    found = []
    for stream in process.of_kind("async"):
        spans = async_spans(process, stream, blocks).spans
        wanted = {span.id: span for span in spans if span.overlaps(time_range)}
        for block in stored_blocks(stream, blocks):
            for event in block.events:
                if event.span_id in wanted:
                    found.append(
                        AsyncEvent(
                            stream.stream_id,
                            block.block_id,
                            process.time_ns(event.ticks),
                            "begin" if event.kind == BEGIN else "end",
                            event.span_id,
                            event.parent_span_id,
                            event.depth,
                            event.scope,
                            wanted[event.span_id].attributes if event.kind == BEGIN else event.attributes,
                        )
                    )
    return found
