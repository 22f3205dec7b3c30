"""What a sender uploads: record batches for the tables `processes`, `streams` and `blocks`, made of events.

All that the benchmarks know of the format of uploads is in here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.generator import PLACES, Events
from flightsrv import telemetry
from udtf.lake import block_format

START_NS = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z, when recorded processes start unless told otherwise. Their ticks are nanoseconds from 0 on."""

TICKS_PER_SECOND = 1_000_000_000

Upload = tuple[str, pa.RecordBatch]
"""The name of a table, and rows for it."""

_SCOPES = block_format.scope_array([block_format.Scope(*place) for place in PLACES])


@dataclass(frozen=True)
class NewBlock:
    """A run of one stream's events that was not sent yet; `first_ordinal` is the number of events before it."""

    stream: telemetry.Stream
    first_ordinal: int
    events: Events


def thread_streams(process_id: str, threads: int) -> list[telemetry.Stream]:
    """The streams of a process of so many threads."""
    return [
        telemetry.thread_stream(f"{process_id}-{thread:03}", process_id, f"worker-{thread}", 10_000 + thread)
        for thread in range(threads)
    ]


def async_stream(process_id: str) -> telemetry.Stream:
    """The stream of its event loop."""
    return telemetry.async_stream(f"{process_id}-loop", process_id, "event loop", 10_000)


def introduction(process_id: str, streams: Sequence[telemetry.Stream], start_ns: int = START_NS) -> list[Upload]:
    """What goes before the blocks of a process, which started at `start_ns` nanoseconds since the Unix epoch."""
    process = telemetry.Process(
        process_id,
        TICKS_PER_SECOND,
        start_ns,
        start_ticks=0,
        exe="/srv/program/main.py",
        computer="benchmark",
        properties={"pid": "4242"},
    )
    return [("processes", telemetry.processes_batch([process])), ("streams", telemetry.streams_batch(streams))]


def cut(stream: telemetry.Stream, events: Events, max_events: int) -> Iterator[NewBlock]:
    """All events of a stream in blocks of at most `max_events`."""
    for begin in range(0, len(events), max_events):
        yield NewBlock(stream, begin, events.part(begin, min(begin + max_events, len(events))))


def blocks(new: Sequence[NewBlock]) -> Upload:
    """One upload of these blocks."""
    return "blocks", telemetry.blocks_batch([_encoded(block) for block in new])


def _encoded(block: NewBlock) -> telemetry.Block:
    events = block.events
    columns = events.async_columns
    in_format = block_format.Events(
        events.ticks,
        events.kinds,
        events.scopes,
        _SCOPES,
        columns and block_format.AsyncColumns(columns.span_ids, columns.parent_span_ids, columns.depths),
    )
    (encoded,) = telemetry.cut_blocks(
        block.stream,
        in_format,
        block.first_ordinal,
        len(events),
        new_id=lambda: f"{block.stream.stream_id}-{block.first_ordinal}",
    )
    return encoded


def of_process(upload: Upload, was: str, process_id: str) -> Upload:
    """The same upload as another process sends it. Ids of streams and blocks begin with that of their process, and
    nothing else of an upload has one in it, so this takes microseconds however many events there are."""
    table, batch = upload
    for name in {"process_id", "stream_id", "block_id"} & set(batch.schema.names):
        column = batch.schema.get_field_index(name)
        renamed = pc.replace_substring(batch.column(column), was, process_id, max_replacements=1)
        batch = batch.set_column(column, batch.schema.field(column), renamed)
    return table, batch
