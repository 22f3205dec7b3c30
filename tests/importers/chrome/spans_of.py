"""Writes Chrome traces with exact times, and reads back the spans in what they were converted to."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from flightsrv.importers.chrome import ChromeTrace, read_chrome_trace
from flightsrv.telemetry import blocks_batch, processes_batch, streams_batch
from udtf.lake.block_format import BEGIN, Scope
from udtf.lake.lake import Lake


@dataclass(frozen=True, order=True)
class Span:
    """A span as read back; -1 is the end of one that has none."""

    begin_ns: int
    end_ns: int
    name: str
    ancestors: tuple[str, ...] = ()


def microseconds(nanoseconds: int) -> str:
    """A marker that `write_trace` turns into a JSON number of microseconds, exact to the nanosecond."""
    return f"@{nanoseconds}@"


def to_json(events: Any) -> str:
    """JSON text with the markers as numbers, written as plain people would: 1.5, not 1.500."""
    return re.sub(r'"@(-?\d+)@"', lambda match: f"{(Decimal(match[1]) / 1000).normalize():f}", json.dumps(events))


def convert(directory: Path, events: Any, time_zero_ns: int | None = None) -> ChromeTrace:
    """The telemetry of a trace that holds these events."""
    path = directory / "trace.json"
    path.write_text(to_json(events))
    return read_chrome_trace(path, time_zero_ns)


def thread_spans(trace: ChromeTrace) -> dict[tuple[str, str], list[Span]]:
    """Spans by (process's pid, thread name), in order of their begin events."""
    pids = {process.process_id: process.properties["pid"] for process in trace.processes}
    spans: dict[tuple[str, str], list[Span]] = {}
    for stream in trace.streams:
        if stream.tags == ("thread",):
            events = events_of(trace, stream.stream_id)
            spans[pids[stream.process_id], stream.properties["thread-name"]] = match_parentheses(events)
    return spans


def async_spans(trace: ChromeTrace) -> list[tuple[str, Span, int, int]]:
    """(pid, span, span id, parent span id) of all async spans, in order of their begin events."""
    pids = {process.process_id: process.properties["pid"] for process in trace.processes}
    found = []
    for stream in trace.streams:
        if stream.tags == ("async",):
            events = events_of(trace, stream.stream_id)
            ends = {event[3]: event[0] for event in events if event[1] != BEGIN}
            for ticks, kind, scope, span_id, parent_id, _ in events:
                if kind == BEGIN:
                    span = Span(ticks, ends.get(span_id, -1), scope.name)
                    found.append((pids[stream.process_id], span, span_id, parent_id))
    return found


def events_of(trace: ChromeTrace, stream_id: str) -> list[tuple[int, int, Scope, int, int, int]]:
    """(ticks, kind, scope, span id, parent span id, depth) from the stream's blocks."""
    rows: list[tuple[int, int, Scope, int, int, int]] = []
    for block in trace.blocks():
        if block.stream_id == stream_id:
            events = block.events
            scopes = [Scope(**scope) for scope in events.scope_table.to_pylist()]
            columns = events.async_columns
            others = (
                [(0, 0, 0)] * len(events)
                if columns is None
                else zip(
                    columns.span_ids.tolist(), columns.parent_span_ids.tolist(), columns.depths.tolist(), strict=True
                )
            )
            assert block.object_offset == len(rows)
            rows += (
                (ticks, kind, scopes[code], *other)
                for ticks, kind, code, other in zip(
                    events.ticks.tolist(), events.kinds.tolist(), events.scopes.tolist(), others, strict=True
                )
            )
    return rows


def match_parentheses(events: list[tuple[int, int, Scope, int, int, int]]) -> list[Span]:
    """The spans of one thread; fails where an end closes nothing or names another span."""
    spans: list[Span] = []
    open_spans: list[int] = []
    for ticks, kind, scope, *_ in events:
        if kind == BEGIN:
            ancestors = tuple(spans[index].name for index in open_spans)
            open_spans.append(len(spans))
            spans.append(Span(ticks, -1, scope.name, ancestors))
        else:
            begun = spans[open_spans[-1]]
            assert begun.name == scope.name
            spans[open_spans.pop()] = Span(begun.begin_ns, ticks, begun.name, begun.ancestors)
    return spans


def ingest(lake: Lake, trace: ChromeTrace) -> list[str]:
    """Put the telemetry of a trace into a lake; returns the ids of its processes."""
    lake.ingest("processes", processes_batch(trace.processes))
    lake.ingest("streams", streams_batch(trace.streams))
    lake.ingest("blocks", blocks_batch(list(trace.blocks())))
    return [process.process_id for process in trace.processes]
