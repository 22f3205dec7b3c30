"""What a trace must show of the spans, as the Perfetto trace processor tells it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.model.spans import Span, TimeRange, async_spans, runs, thread_spans
from tests.model.telemetry import Block, Process, Stream

Annotations = tuple[tuple[str, str, str], ...]
"""Keys, types and values."""


@dataclass(frozen=True, order=True)
class Slice:
    """One slice of a track; `duration_ns` is -1 while it is unfinished."""

    begin_ns: int
    duration_ns: int
    depth: int
    name: str
    annotations: Annotations = ()


def annotations_of(attributes: Iterable[tuple[str, object]]) -> Annotations:
    """Attributes, or annotations as they were read, in a form in which they can be compared."""
    values = ((key, str(value) if isinstance(value, str) else value) for key, value in attributes)
    return tuple(sorted((key, type(value).__name__, repr(value)) for key, value in values))


def thread_slices(process: Process, stream: Stream, blocks: Iterable[Block], time_range: TimeRange) -> list[Slice]:
    """The slices of a thread's track, in order of their begins and then of their depths.

    A slice that never ends keeps what follows on its track below it, so a span after a hole is as much deeper
    as spans were abandoned before.
    """
    model = thread_spans(process, stream, blocks)
    shown = [span for span in model.spans if span.overlaps(time_range)]
    run_of = run_numbers(stream, blocks)

    abandoned_runs = [run_of(span.id) for span in shown if span.id in model.abandoned]

    def depth(span: Span) -> int:
        return span.depth + sum(1 for run in abandoned_runs if run < run_of(span.id))

    return sorted(
        Slice(
            span.begin_ns,
            -1 if span.duration_ns is None else span.duration_ns,
            depth(span),
            span.scope.name,
            annotations_of(span.attributes),
        )
        for span in shown
    )


def run_numbers(stream: Stream, blocks: Iterable[Block]) -> Callable[[int], int]:
    """A function from an event's ordinal to the number of the run that holds it."""
    bounds = [(run[0].object_offset, run[-1].end_offset) for run in runs(stream, blocks)]
    return lambda ordinal: next(i for i, (begin, end) in enumerate(bounds) if begin <= ordinal < end)


def async_shown(process: Process, blocks: Iterable[Block], time_range: TimeRange) -> list[Span]:
    """The async spans of a process that a trace of the range shows, on whatever lanes."""
    blocks = list(blocks)
    return [
        span
        for stream in process.of_kind("async")
        for span in async_spans(process, stream, blocks).spans
        if span.overlaps(time_range)
    ]
