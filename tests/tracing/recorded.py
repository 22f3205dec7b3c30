"""A sink that keeps what it is given, and what was recorded as plain values and as indented trees."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa

from flightsrv import tracing
from flightsrv.storing import Introductions, store_uploads
from flightsrv.uploads import decode_uploads
from udtf.lake.attributes import as_properties, none
from udtf.lake.block_format import BEGIN


@dataclass(frozen=True)
class Event:
    """One event; the last three are 0 in the stream of a thread."""

    is_begin: bool
    ticks: int
    scope: dict[str, object]
    span_id: int = 0
    parent_span_id: int = 0
    depth: int = 0
    attributes: dict[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def name(self) -> str:
        return str(self.scope["name"])


@dataclass
class MemorySink:
    """Keeps telemetry; checks that it comes in order and without gaps, as a receiver has a right to expect."""

    processes: dict[str, dict[str, object]] = field(default_factory=dict)
    streams: dict[str, dict[str, object]] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    moments: dict[str, list[dict[str, object]]] = field(default_factory=lambda: defaultdict(list))
    """Entries of logs, values of counters, and links, by stream."""
    calls: list[str] = field(default_factory=list)
    is_closed: bool = False
    introductions: Introductions = field(default_factory=Introductions)

    def send(self, uploads: bytes) -> None:
        store_uploads(decode_uploads(uploads), self.take, tracing.RefusedError, self.introductions)

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        """Keep rows for a table; subclasses may refuse them."""
        self.calls.append(table)
        if table == "processes":
            position = batch.schema.get_field_index("start_time")
            batch = batch.set_column(position, "start_time", batch.column("start_time").cast(pa.int64()))
        if table == "blocks":
            self._add_blocks(batch)
            return
        for row in batch.to_pylist():
            if table == "processes":
                self.processes[row["process_id"]] = row | {"properties": dict(row["properties"])}
            else:
                assert row["process_id"] in self.processes
                self.streams[row["stream_id"]] = row | {"properties": dict(row["properties"])}

    def close(self) -> None:
        self.is_closed = True

    def of_thread(self, thread_name: str, tag: str = "thread") -> list[Event]:
        """All events of the only stream with this thread name."""
        (stream_id,) = (
            stream_id
            for stream_id, row in self.streams.items()
            if row["properties"].get("thread-name") == thread_name and row["tags"] == [tag]  # type: ignore[attr-defined]
        )
        return self.events[stream_id]

    def _add_blocks(self, batch: pa.RecordBatch) -> None:
        names = ("thread_events", "async_events", "log_entries", "measures", "links")
        lists = {name: batch.column(name) for name in names}
        for number, row in enumerate(batch.select(["stream_id", "object_offset"]).to_pylist()):
            assert row["stream_id"] in self.streams
            ((kind_of_events, rows),) = (
                (name, column[number].values) for name, column in lists.items() if column[number].is_valid
            )
            if kind_of_events in ("log_entries", "measures", "links"):
                moments = self.moments[row["stream_id"]]
                assert row["object_offset"] == len(moments)
                moments += rows.to_pylist()
                continue
            events = self.events[row["stream_id"]]
            assert row["object_offset"] == len(events)
            # By columns: a sink that is slow makes the sender wait.
            columns = {field.name: values for field, values in zip(rows.type, rows.flatten(), strict=True)}
            scopes = columns["scope"].dictionary.to_pylist()
            attributes = columns.pop("attributes", none(len(rows)))
            others = [columns[name].to_pylist() for name in columns if name not in ("ticks", "kind", "scope")]
            noted = map(dict, as_properties(attributes).to_pylist())
            kinds, ticks = columns["kind"].to_pylist(), columns["ticks"].to_pylist()
            codes = columns["scope"].indices.to_pylist()
            for kind, tick, code, noted_of_event, *numbers in zip(kinds, ticks, codes, noted, *others, strict=True):
                events.append(Event(kind == BEGIN, tick, scopes[code], *numbers, attributes=noted_of_event))


def noted_at_ends(events: list[Event]) -> list[dict[str, str]]:
    """The attributes of spans in the order in which they ended, those noted at the begin first."""
    open_spans: list[dict[str, str]] = []
    ended = []
    for event in events:
        if event.is_begin:
            open_spans.append(event.attributes)
        else:
            ended.append(open_spans.pop() | event.attributes)
    return ended


class GatedSink(MemorySink):
    """A sink that can be made to wait, as a receiver does that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.was_called = threading.Event()

    def send(self, uploads: bytes) -> None:
        self.was_called.set()
        self.gate.wait()
        super().send(uploads)


def counting_clock() -> Callable[[], int]:
    """Ticks 0, 1, 2, ...: every reading of the clock is the next. Starting takes the first two."""
    return count().__next__


def settings(send_every_s: float = 60.0, capacity_spans: int = 1000, stop_timeout_s: float = 60.0) -> tracing.Settings:
    """Exact times, and no sending but when it is asked for."""
    return tracing.Settings(
        send_every_s=send_every_s,
        capacity_spans=capacity_spans,
        reserve_spans=0,
        stop_timeout_s=stop_timeout_s,
        vitals_every_s=None,
        now=counting_clock(),
    )


def tree(events: list[Event], with_ticks: bool = False) -> str:
    """A thread's spans, one a line, children indented; what is open at the end has an ellipsis for its end.

    Fails if begins and ends do not match as parentheses.
    """
    lines: list[tuple[int, Event]] = []
    ends: dict[int, int] = {}
    stack: list[int] = []
    for event in events:
        if event.is_begin:
            lines.append((len(stack), event))
            stack.append(len(lines) - 1)
        else:
            innermost = stack.pop()
            assert lines[innermost][1].scope == event.scope, "an end of another span than the innermost"
            ends[innermost] = event.ticks
    return "\n".join(
        "  " * depth + event.name + (f" {event.ticks}-{ends.get(i, '...')}" if with_ticks else "")
        for i, (depth, event) in enumerate(lines)
    )


def async_tree(events: list[Event]) -> str:
    """Async spans in order of their begins, indented by parent; children right below their parent."""
    begun = {event.span_id: event for event in events if event.is_begin}
    ended = [event.span_id for event in events if not event.is_begin]
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(begun)
    children: dict[int, list[Event]] = defaultdict(list)
    for event in begun.values():
        children[event.parent_span_id].append(event)

    def lines(parent: int, depth: int) -> list[str]:
        found = []
        for event in children[parent]:
            assert event.depth == depth
            open_mark = "" if event.span_id in ended else " ..."
            found += ["  " * depth + event.name + open_mark, *lines(event.span_id, depth + 1)]
        return found

    return "\n".join(lines(0, 0))
