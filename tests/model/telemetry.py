"""What an application recorded, as plain values, and how it is cut into blocks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from udtf.lake.block_format import BEGIN, END, Scope

__all__ = [
    "BEGIN",
    "END",
    "LEVELS",
    "Block",
    "Event",
    "Link",
    "LogLine",
    "Moment",
    "MomentStream",
    "Process",
    "Scope",
    "Stream",
    "Value",
    "cut",
]

LEVELS = {0: None, 1: "trace", 2: "debug", 3: "info", 4: "warn", 5: "error", 6: "fatal"}


class Json(str):
    """The value of an attribute that is JSON."""


Attributes = tuple[tuple[str, str | int | float | bool], ...]
"""Keys, each once, with values."""


def property_text(value: str | float) -> str:
    """A value as `properties` show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return FLOATS[value]
    return str(value)


FLOATS = {0.5: "0.5", -1.25: "-1.25", 1e300: "1e+300", math.inf: "inf"}
"""Those that attributes have, with their texts."""


@dataclass(frozen=True)
class Event:
    """A begin or an end. Those from `span_id` to `depth` say something in async streams only."""

    ticks: int
    kind: int
    scope: Scope
    span_id: int = 0
    parent_span_id: int = 0
    depth: int = 0
    attributes: Attributes = ()

    def __repr__(self) -> str:
        """Short: failing examples print hundreds of events."""
        task = f" of {self.span_id} under {self.parent_span_id}" if self.span_id else ""
        noted = f" {dict(self.attributes)}" if self.attributes else ""
        return f"<{self.ticks} {'begin' if self.kind == BEGIN else 'end'} {self.scope.name!r}{task}{noted}>"


@dataclass(frozen=True)
class LogLine:
    """A line of a log."""

    ticks: int
    scope: Scope
    level: int
    msg: str
    attributes: Attributes = ()


@dataclass(frozen=True)
class Value:
    """The value of a counter; the name of its scope is that of the counter."""

    ticks: int
    scope: Scope
    unit: str
    value: float
    attributes: Attributes = ()


@dataclass(frozen=True)
class Link:
    """That the span of a thread at a tick, or an async span, was caused by another one."""

    ticks: int
    scope: Scope
    from_ticks: int
    from_stream: str
    span_id: int = 0
    from_span_id: int = 0
    attributes: Attributes = ()


Moment = LogLine | Value | Link


@dataclass(frozen=True)
class Stream:
    """The ordered events of one thread, or events of spans that may overlap."""

    stream_id: str
    is_async: bool
    thread_name: str
    thread_id: int
    events: tuple[Any, ...]

    @property
    def tag(self) -> str:
        return "async" if self.is_async else "thread"


@dataclass(frozen=True)
class MomentStream(Stream):
    """Lines of a log, values of counters, or links, of a thread or of the process; `kind` is the tag."""

    kind: str = "log"
    thread: Stream | None = None

    @property
    def tag(self) -> str:
        return self.kind


@dataclass(frozen=True)
class Process:
    """A process with its clock and its streams."""

    process_id: str
    tsc_frequency: int
    start_time_ns: int
    start_ticks: int
    streams: tuple[Stream, ...]
    exe: str = "model"

    def time_ns(self, ticks: int) -> int:
        """Floors, before the start of the process too."""
        return self.start_time_ns + (ticks - self.start_ticks) * 10**9 // self.tsc_frequency

    def of_kind(self, span_types: str) -> tuple[Stream, ...]:
        """The streams that 'thread', 'async' or 'both' mean, or a tag."""
        return tuple(
            stream
            for stream in self.streams
            if span_types == stream.tag or (span_types == "both" and stream.tag in ("thread", "async"))
        )


@dataclass(frozen=True)
class Block:
    """A run of one stream's events; `object_offset` is the ordinal of the first."""

    block_id: str
    stream: Stream = field(repr=False)
    object_offset: int
    events: tuple[Any, ...] = field(repr=False)

    @property
    def end_offset(self) -> int:
        return self.object_offset + len(self.events)


def cut(stream: Stream, cuts: Iterable[int]) -> tuple[Block, ...]:
    """The stream in blocks that end at the cuts; cuts outside of the stream and doubled ones say nothing."""
    inner = {cut for cut in cuts if 0 < cut < len(stream.events)}
    bounds = sorted({0, len(stream.events)} | inner)
    return tuple(
        Block(f"{stream.stream_id}-{begin}-{end}", stream, begin, stream.events[begin:end])
        for begin, end in pairwise(bounds)
    )
