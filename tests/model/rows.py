"""Model spans and events as the rows that SQL must answer."""

from collections.abc import Iterable

from tests.model.spans import AsyncEvent, Span, TimeRange, async_spans, thread_spans
from tests.model.telemetry import Attributes, Block, Process, Scope, Stream, property_text

Row = dict[str, object]

THREAD_SPAN_COLUMNS = (
    "id", "parent", "depth", "begin", "end", "duration", "name", "target", "filename", "line", "properties"
)  # fmt: skip


def _scope_row(scope: Scope) -> Row:
    return {"name": scope.name, "target": scope.target, "filename": scope.filename, "line": scope.line}


def properties(attributes: Attributes) -> list[tuple[str, str]]:
    return sorted((key, property_text(value)) for key, value in attributes)


def span_row(span: Span) -> Row:
    """A row of `thread_spans` without its hash."""
    return {
        "id": span.id,
        "parent": span.parent,
        "depth": span.depth,
        "begin": span.begin_ns,
        "end": span.end_ns,
        "duration": span.duration_ns,
        **_scope_row(span.scope),
        "properties": properties(span.attributes),
    }


def thread_span_rows(
    process: Process, stream: Stream, blocks: Iterable[Block], time_range: TimeRange | None = None
) -> list[Row]:
    """What `view_instance('thread_spans', ...)` answers, in its order, without hashes."""
    spans = thread_spans(process, stream, blocks).spans
    return [span_row(span) for span in spans if span.overlaps(time_range)]


def process_span_rows(
    process: Process, blocks: Iterable[Block], span_types: str, time_range: TimeRange | None = None
) -> list[Row]:
    """What `process_spans(...)` answers, in no particular order, without hashes."""
    blocks = list(blocks)
    rows = []
    for stream in process.of_kind(span_types):
        spans = (async_spans if stream.is_async else thread_spans)(process, stream, blocks).spans
        rows += [
            {"stream_id": stream.stream_id, "thread_name": stream.thread_name, **span_row(span)}
            for span in spans
            if span.overlaps(time_range)
        ]
    return rows


def async_event_row(event: AsyncEvent) -> Row:
    """A row of `async_events` without its hash."""
    return {
        "stream_id": event.stream_id,
        "block_id": event.block_id,
        "time": event.time_ns,
        "event_type": event.event_type,
        "span_id": event.span_id,
        "parent_span_id": event.parent_span_id,
        "depth": event.depth,
        **_scope_row(event.scope),
        "properties": properties(event.attributes),
    }


def without(rows: Iterable[Row], *columns: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def in_any_order(rows: Iterable[Row]) -> list[tuple[tuple[str, object], ...]]:
    """Rows as a multiset that compares and prints well."""
    return sorted((tuple(sorted(row.items())) for row in rows), key=repr)
