"""Model telemetry into a lake, and SQL out of one."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from tests.model.spans import TimeRange
from tests.model.strategies import Delivery
from tests.model.telemetry import Block, Event, Json, MomentStream, Process, Stream
from tests.model.trace_reader import Trace, read_trace
from udtf.lake import history, partition_file, schemas, view
from udtf.lake import time_range as udtf_time_range
from udtf.lake.block_format import FORMAT, AsyncColumns, Events, encode_block, scope_array
from udtf.lake.lake import Lake
from udtf.sql.engine import Query, QueryContext, QueryEngine

PROCESS_BATCH = pa.schema(
    [schemas.PROCESSES.field(n) for n in ("process_id", "tsc_frequency", "start_time", "start_ticks", "exe")]
    + [schemas.PROCESSES.field("properties")]
)
STREAM_BATCH = pa.schema(
    [schemas.STREAMS.field(n) for n in ("stream_id", "process_id", "tags", "format", "properties")]
)
BLOCK_BATCH = pa.schema(
    [
        schemas.BLOCKS.field(n)
        for n in ("block_id", "stream_id", "begin_ticks", "end_ticks", "nb_objects", "object_offset")
    ]
    + [pa.field("payload", pa.binary(), nullable=False)]
)

COLUMNS = {
    "thread": ("thread_events", schemas.THREAD_EVENT),
    "async": ("async_events", schemas.ASYNC_EVENT),
    "log": ("log_entries", schemas.LOG_ENTRY),
    "measure": ("measures", schemas.MEASURE),
    "link": ("links", schemas.LINK),
}
"""Of `blocks`, by the tags of streams: their names, and what an event is."""


def process_batch(process: Process) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "process_id": process.process_id,
                "tsc_frequency": process.tsc_frequency,
                "start_time": process.start_time_ns,
                "start_ticks": process.start_ticks,
                "exe": process.exe,
                "properties": [("pid", "4242")],
            }
        ],
        PROCESS_BATCH,
    )


def stream_batch(process: Process, streams: Sequence[Stream]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "stream_id": stream.stream_id,
                "process_id": process.process_id,
                "tags": [stream.tag],
                "format": FORMAT,
                "properties": [
                    ("thread-name", stream.thread_name),
                    ("thread-id", str(stream.thread_id)),
                    *(
                        [("thread-stream-id", stream.thread.stream_id)]
                        if isinstance(stream, MomentStream) and stream.thread
                        else []
                    ),
                ],
            }
            for stream in streams
        ],
        STREAM_BATCH,
    )


def payload(events: Sequence[Event], is_async: bool) -> bytes:
    """The events in the native block format."""
    scopes = list(dict.fromkeys(event.scope for event in events))
    return encode_block(
        Events(
            np.array([event.ticks for event in events], np.int64),
            np.array([event.kind for event in events], np.uint8),
            np.array([scopes.index(event.scope) for event in events], np.int32),
            scope_array(scopes),
            AsyncColumns(
                np.array([event.span_id for event in events], np.int64),
                np.array([event.parent_span_id for event in events], np.int64),
                np.array([event.depth for event in events], np.uint32),
            )
            if is_async
            else None,
        )
    )


def block_row(block: Block) -> dict[str, object]:
    """One row of a batch of blocks, to be changed at will by tests of malformed blocks."""
    return {
        "block_id": block.block_id,
        "stream_id": block.stream.stream_id,
        "begin_ticks": block.events[0].ticks,
        "end_ticks": block.events[-1].ticks,
        "nb_objects": len(block.events),
        "object_offset": block.object_offset,
        **_events(block),
    }


def _events(block: Block) -> dict[str, object]:
    """The events of a block in the column of its kind."""
    if not _is_list(block):
        return {"payload": payload(block.events, block.stream.is_async)}
    return {COLUMNS[block.stream.tag][0]: list(map(_event_row, block.events))}


def _is_list(block: Block) -> bool:
    """Payloads have no attributes."""
    return isinstance(block.stream, MomentStream) or any(event.attributes for event in block.events)


_VALUES = {
    str: ("text", pa.utf8()),
    int: ("integer", pa.int64()),
    float: ("float", pa.float64()),
    bool: ("boolean", pa.bool_()),
    Json: ("json", pa.utf8()),
}
"""Fields of attributes that hold values of these types."""
TYPE_NAMES = {kind: name for kind, (name, _) in _VALUES.items()}
_ATTRIBUTE = pa.struct([("key", pa.utf8()), *_VALUES.values()])


def _event_row(event: Event) -> dict[str, object]:
    attributes = [{"key": key, _VALUES[type(value)][0]: value} for key, value in event.attributes]
    return {**vars(event), "scope": event.scope._asdict(), "attributes": attributes or None}


def block_batch(blocks: Iterable[Block]) -> pa.RecordBatch:
    blocks = list(blocks)
    rows = [block_row(block) for block in blocks]
    if not any(map(_is_list, blocks)):
        return pa.RecordBatch.from_pylist(rows, BLOCK_BATCH)
    columns = {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in BLOCK_BATCH}
    for name, event in COLUMNS.values():
        # pyarrow makes no dictionaries of structs from Python's objects.
        fields = [_without_dictionary(member) for member in event]
        plain = pa.struct([*fields, pa.field("attributes", pa.list_(_ATTRIBUTE))])
        columns[name] = pa.array([row.get(name) for row in rows], pa.list_(plain))
    return pa.record_batch(columns)


def _without_dictionary(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


class Taker(Protocol):
    """What takes telemetry: a lake, or a client of its server."""

    def ingest(self, table: str, batch: pa.RecordBatch, /) -> int: ...


def ingest_process(lake: Taker, process: Process) -> None:
    """The process and its streams, without blocks."""
    lake.ingest("processes", process_batch(process))
    if process.streams:
        lake.ingest("streams", stream_batch(process, process.streams))


def ingest_blocks(lake: Taker, blocks: Iterable[Block]) -> None:
    lake.ingest("blocks", block_batch(blocks))


def deliver(lake: Lake, delivery: Delivery) -> None:
    """All of a delivery, batch by batch."""
    ingest_process(lake, delivery.process)
    for batch in delivery.batches:
        ingest_blocks(lake, batch)


@contextmanager
def partitioned_like(delivery: Delivery) -> Iterator[None]:
    """Partitions and row groups of the sizes that the delivery asks for, so that small telemetry has many."""
    with (
        patch.object(history, "MAX_PARTITION_EVENTS", delivery.partition_events),
        patch.object(history, "FAN_OUT", delivery.fan_out),
        patch.object(view, "WINDOW_EVENTS", delivery.window_events),
        patch.object(partition_file, "ROW_GROUP_ROWS", delivery.row_group_rows),
    ):
        yield


def timestamp(time_ns: int) -> str:
    """A SQL literal that keeps every nanosecond."""
    text = str(np.datetime64(time_ns, "ns"))
    return f"TIMESTAMP '{text}Z'"


def text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass
class Reader:
    """SQL over a lake; remembers what the last query said beside its rows: how far it was, and all else."""

    engine: QueryEngine

    def __post_init__(self) -> None:
        self._forget()

    @classmethod
    def of(cls, lake: Lake) -> "Reader":
        return cls(QueryEngine(lake))

    def plan(self, sql: str, time_range: TimeRange | None = None, strict: bool = False) -> Query:
        """The query, which has not begun to run."""
        bounds = None
        if time_range is not None:
            bounds = udtf_time_range.TimeRange(time_range.begin_ns, time_range.end_ns)
        self._forget()
        return self.engine.plan(sql, QueryContext(time_range=bounds, strict=strict, on_message=self._hear))

    def _forget(self) -> None:
        self.messages: list[dict[str, object]] = []
        self.progress: list[dict[str, object]] = []

    def _hear(self, message: dict[str, object]) -> None:
        (self.progress if message["type"] == "progress" else self.messages).append(message)

    def query(self, sql: str, time_range: TimeRange | None = None, strict: bool = False) -> pa.Table:
        """All rows of a statement."""
        query = self.plan(sql, time_range, strict)
        return pa.Table.from_batches(list(query.batches()), query.schema)

    def rows(self, sql: str, time_range: TimeRange | None = None) -> list[dict[str, object]]:
        """All rows of a statement, one dict a row, times as integers."""
        return plain_rows(self.query(sql, time_range))

    def chunks(self, process_id: str, span_types: str, time_range: TimeRange) -> list[bytes]:
        """The chunks of a trace, in order, after a look at their ids."""
        table = self.query(
            f"SELECT chunk_id, chunk_data FROM perfetto_trace_chunks("
            f"{text_literal(process_id)}, '{span_types}', "
            f"{timestamp(time_range.begin_ns)}, {timestamp(time_range.end_ns)})"
        )
        assert table.column("chunk_id").to_pylist() == list(range(table.num_rows))
        return table.column("chunk_data").to_pylist()

    def trace_bytes(self, process_id: str, span_types: str, time_range: TimeRange) -> bytes:
        return b"".join(self.chunks(process_id, span_types, time_range))

    def trace(self, process_id: str, span_types: str, time_range: TimeRange) -> Trace:
        return read_trace(self.trace_bytes(process_id, span_types, time_range))


def plain_rows(table: pa.Table) -> list[dict[str, object]]:
    """Rows with plain text for dictionaries and integers for times."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            column = column.cast(pa.int64())
        values = column.to_pylist()
        columns[name] = list(map(sorted, values)) if pa.types.is_map(column.type) else values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
