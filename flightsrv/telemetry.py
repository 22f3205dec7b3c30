"""Telemetry as a sender makes it: processes, streams and blocks, as values and as record batches to ingest.

The columns are those of `udtf.lake.schemas` that a sender knows; the server adds the rest. Send a process
before its streams and a stream before its blocks. Sending anything again is harmless.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.lake import schemas
from udtf.lake.block_format import FORMAT, AsyncColumns, Events

THREAD_EVENT_BYTES = 13
ASYNC_EVENT_BYTES = 33
WHOLE_SPAN_BYTES = 36
MEASURE_BYTES = 20
LINK_BYTES = 36
DEFAULT_BLOCK_EVENTS = 65_536
"""Events in a block unless told otherwise: about a megabyte before compression."""


@dataclass(frozen=True)
class Process:
    """One run of a program, with the clock that its events are timed by.

    `start_time_ns` is in nanoseconds since the Unix epoch and belongs to the same moment as `start_ticks`;
    `tsc_frequency` is in ticks per second.
    """

    process_id: str
    tsc_frequency: int
    start_time_ns: int
    start_ticks: int
    exe: str | None = None
    username: str | None = None
    realname: str | None = None
    computer: str | None = None
    distro: str | None = None
    cpu_brand: str | None = None
    parent_process_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """The ordered events of one thread, events of async spans, whole spans, lines of a log, values of counters, or
    links; `tags` holds which of these."""

    stream_id: str
    process_id: str
    tags: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    format: str = FORMAT


@dataclass(frozen=True)
class LogLines:
    """Lines of a log as columns of equal length; `levels` are 1 (trace) to 6 (fatal), or 0 for instants, `scopes` are
    codes into `scope_table`."""

    ticks: npt.NDArray[np.int64]
    levels: npt.NDArray[np.uint8]
    scopes: npt.NDArray[np.int32]
    scope_table: pa.StructArray
    messages: pa.StringArray
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True)
class Values:
    """Values of counters as columns of equal length; `scopes` are codes into `scope_table`, and say which counters."""

    ticks: npt.NDArray[np.int64]
    scopes: npt.NDArray[np.int32]
    scope_table: pa.StructArray
    units: pa.StringArray
    values: npt.NDArray[np.float64]
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True)
class WholeSpans:
    """Spans that have ended as columns of equal length; `ticks` are those of their begins, `scopes` are codes into
    `scope_table`, `parent_span_ids` are 0 where there is no parent."""

    ticks: npt.NDArray[np.int64]
    end_ticks: npt.NDArray[np.int64]
    scopes: npt.NDArray[np.int32]
    scope_table: pa.StructArray
    span_ids: npt.NDArray[np.int64]
    parent_span_ids: npt.NDArray[np.int64]
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True)
class Links:
    """Links to spans of the thread of a stream, as columns of equal length; `scopes` are codes into `scope_table`.

    At `ticks` the span that was caused is the innermost one of its thread, and at `from_ticks`, which is not later, the
    one that caused it is the innermost one of the thread with the stream `from_streams`. `span_ids` are those of async
    spans that were caused instead, `from_span_ids` those of async spans in which it was caused; 0 elsewhere.
    """

    ticks: npt.NDArray[np.int64]
    scopes: npt.NDArray[np.int32]
    scope_table: pa.StructArray
    from_ticks: npt.NDArray[np.int64]
    from_streams: pa.StringArray
    span_ids: npt.NDArray[np.int64]
    from_span_ids: npt.NDArray[np.int64]
    attributes: pa.BinaryArray | None = None

    def __len__(self) -> int:
        return len(self.ticks)


AnyEvents = Events | LogLines | Values | WholeSpans | Links


@dataclass(frozen=True)
class Block:
    """A run of one stream's events; `object_offset` is the ordinal in the stream of the first of them, None for what is
    to be appended to it, wherever it ends."""

    block_id: str
    stream_id: str
    process_id: str
    object_offset: int | None
    events: AnyEvents = field(repr=False, compare=False)

    @property
    def nb_objects(self) -> int:
        """Number of its events."""
        return len(self.events)

    @property
    def size_bytes(self) -> int:
        """Size of its events and of their scopes, without compression."""
        texts = 0
        if isinstance(self.events, LogLines):
            width, texts = THREAD_EVENT_BYTES, self.events.messages.nbytes
        elif isinstance(self.events, Values):
            width, texts = MEASURE_BYTES, self.events.units.nbytes
        elif isinstance(self.events, Links):
            width, texts = LINK_BYTES, self.events.from_streams.nbytes
        elif isinstance(self.events, WholeSpans):
            width = WHOLE_SPAN_BYTES
        else:
            width = THREAD_EVENT_BYTES if self.events.async_columns is None else ASYNC_EVENT_BYTES
        if self.events.attributes is not None:
            texts += self.events.attributes.nbytes
        return len(self.events) * width + int(self.events.scope_table.nbytes + texts)


def thread_stream(stream_id: str, process_id: str, thread_name: str, thread_id: int) -> Stream:
    """The stream of a thread; `thread_id` is the operating system's."""
    return Stream(stream_id, process_id, (schemas.THREAD_TAG,), _thread_properties(thread_name, thread_id))


def async_stream(stream_id: str, process_id: str, thread_name: str, thread_id: int) -> Stream:
    """A stream of async spans, with the thread whose event loop runs them."""
    return Stream(stream_id, process_id, (schemas.ASYNC_TAG,), _thread_properties(thread_name, thread_id))


def whole_stream(stream_id: str, process_id: str, thread_name: str = "", thread_id: str = "") -> Stream:
    """A stream of whole spans, of a thread if there is a name or an id of one; `thread_id` is what tells it."""
    properties = {}
    if thread_name or thread_id:
        properties = {"thread-name": thread_name, "thread-id": thread_id, "thread-stream-id": stream_id}
    return Stream(stream_id, process_id, (schemas.WHOLE_TAG,), properties)


def log_stream(stream_id: str, process_id: str, thread: Stream | None = None) -> Stream:
    """A stream of lines of a log, of a thread, or else of the process."""
    return Stream(stream_id, process_id, (schemas.LOG_TAG,), _of_thread(thread))


def measure_stream(stream_id: str, process_id: str, thread: Stream | None = None) -> Stream:
    """A stream of values of counters, of a thread, or else of the process."""
    return Stream(stream_id, process_id, (schemas.MEASURE_TAG,), _of_thread(thread))


def link_stream(stream_id: str, process_id: str, thread: Stream | None = None) -> Stream:
    """A stream of links to spans of a thread, or else of the process."""
    return Stream(stream_id, process_id, (schemas.LINK_TAG,), _of_thread(thread))


def processes_batch(processes: Sequence[Process]) -> pa.RecordBatch:
    """Rows for the table `processes`."""
    return pa.record_batch(
        [
            pa.array([process.process_id for process in processes]),
            pa.array([process.exe for process in processes]),
            pa.array([process.username for process in processes]),
            pa.array([process.realname for process in processes]),
            pa.array([process.computer for process in processes]),
            pa.array([process.distro for process in processes]),
            pa.array([process.cpu_brand for process in processes]),
            pa.array([process.tsc_frequency for process in processes]),
            pa.array([process.start_time_ns for process in processes], schemas.TIMESTAMP),
            pa.array([process.start_ticks for process in processes]),
            pa.array([process.parent_process_id for process in processes]),
            _properties_array([process.properties for process in processes]),
        ],
        schema=_PROCESSES,
    )


def streams_batch(streams: Sequence[Stream]) -> pa.RecordBatch:
    """Rows for the table `streams`."""
    return pa.record_batch(
        [
            pa.array([stream.stream_id for stream in streams]),
            pa.array([stream.process_id for stream in streams]),
            pa.array([list(stream.tags) for stream in streams]),
            _properties_array([stream.properties for stream in streams]),
            pa.array([stream.format for stream in streams]),
        ],
        schema=_STREAMS,
    )


def blocks_batch(blocks: Sequence[Block]) -> pa.RecordBatch:
    """Rows for the table `blocks`: the events of each block are a list in the column of its kind. All blocks have an
    ordinal, or none."""
    columns = {
        "block_id": pa.array([block.block_id for block in blocks], pa.utf8()),
        "stream_id": pa.array([block.stream_id for block in blocks], pa.utf8()),
        "process_id": pa.array([block.process_id for block in blocks], pa.utf8()),
    }
    if not blocks or any(block.object_offset is not None for block in blocks):
        columns["object_offset"] = pa.array([block.object_offset for block in blocks], pa.int64())
    for name, event in (
        ("thread_events", schemas.THREAD_EVENT),
        ("async_events", schemas.ASYNC_EVENT),
        ("log_entries", schemas.LOG_ENTRY),
        ("measures", schemas.MEASURE),
        ("links", schemas.LINK),
        ("whole_spans", schemas.WHOLE_SPAN),
    ):
        columns[name] = _event_lists([_columns_of(block.events) for block in blocks], event)
    return pa.record_batch(columns)


def cut_blocks(
    stream: Stream,
    events: AnyEvents,
    first_ordinal: int | None = 0,
    max_events: int = DEFAULT_BLOCK_EVENTS,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> Iterator[Block]:
    """Consecutive blocks of at most `max_events` events each, all events of a stream from `first_ordinal` on, or to be
    appended where that is None.

    A block holds only the scopes that its own events use. No events make no block.
    """
    for begin in range(0, len(events), max_events):
        part = _slice(events, begin, min(begin + max_events, len(events)))
        yield Block(
            block_id=new_id(),
            stream_id=stream.stream_id,
            process_id=stream.process_id,
            object_offset=None if first_ordinal is None else first_ordinal + begin,
            events=part,
        )


def _columns(schema: pa.Schema, server_side: set[str]) -> pa.Schema:
    return pa.schema([column for column in schema if column.name not in server_side])


_PROCESSES = _columns(schemas.PROCESSES, {"insert_time", *schemas.PROCESS_HISTORY})
_STREAMS = _columns(schemas.STREAMS, {"insert_time", "last_update_time"})


_Columns = dict[str, pa.Array | npt.NDArray[Any]]


def _columns_of(events: AnyEvents) -> tuple[pa.StructArray, _Columns]:
    """The scopes of events, and their columns by the names of fields, `scope` as codes."""
    columns: _Columns = {"ticks": events.ticks, "scope": events.scopes}
    if events.attributes is not None:
        columns[schemas.ATTRIBUTES.name] = events.attributes
    if isinstance(events, LogLines):
        columns |= {"level": events.levels, "msg": events.messages}
    elif isinstance(events, Values):
        columns |= {"unit": events.units, "value": events.values}
    elif isinstance(events, Links):
        columns |= {
            "from_ticks": events.from_ticks,
            "from_stream": events.from_streams,
            "span_id": events.span_ids,
            "from_span_id": events.from_span_ids,
        }
    elif isinstance(events, WholeSpans):
        columns |= {
            "end_ticks": events.end_ticks,
            "span_id": events.span_ids,
            "parent_span_id": events.parent_span_ids,
        }
    else:
        columns["kind"] = events.kinds
        if (tasks := events.async_columns) is not None:
            columns |= {"span_id": tasks.span_ids, "parent_span_id": tasks.parent_span_ids, "depth": tasks.depths}
    return events.scope_table, columns


def _event_lists(blocks: Sequence[tuple[pa.StructArray, _Columns]], event: pa.StructType) -> pa.ListArray:
    """A list of events for each block; none for those of another kind."""
    names = {field.name for field in event}
    noted = schemas.ATTRIBUTES.name
    is_of_kind = [columns.keys() - {noted} == names for _, columns in blocks]
    parts = [block for block, chosen in zip(blocks, is_of_kind, strict=True) if chosen]
    if not parts:
        return pa.nulls(len(blocks), pa.list_(event))
    first_scopes = np.cumsum([0, *(len(scope_table) for scope_table, _ in parts[:-1])])
    fields = []
    if any(noted in columns for _, columns in parts):
        event = pa.struct([*event, schemas.ATTRIBUTES])
    for member in event:
        values = [columns[member.name] if member.name in columns else _no_attributes(columns) for _, columns in parts]
        if member.name == "scope":
            codes = np.concatenate([part + first for part, first in zip(values, first_scopes, strict=True)])
            scopes, code_of = _distinct(pa.concat_arrays([scope_table for scope_table, _ in parts]))
            fields.append(pa.DictionaryArray.from_arrays(pa.array(code_of[codes]), scopes))
        else:
            fields.append(pa.concat_arrays([pa.array(part, member.type) for part in values]))
    sizes = [len(columns["ticks"]) if chosen else 0 for (_, columns), chosen in zip(blocks, is_of_kind, strict=True)]
    offsets = np.cumsum([0, *sizes])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.StructArray.from_arrays(fields, fields=list(event)),
        mask=pa.array([not chosen for chosen in is_of_kind]),
    )


def _no_attributes(columns: _Columns) -> pa.BinaryArray:
    return pa.array([b""] * len(columns["ticks"]), pa.binary())


def _thread_properties(thread_name: str, thread_id: int) -> dict[str, str]:
    return {"thread-name": thread_name, "thread-id": str(thread_id)}


def _properties_array(rows: Sequence[Mapping[str, str]]) -> pa.Array:
    return pa.array([list(row.items()) for row in rows], schemas.PROPERTIES)


def _of_thread(thread: Stream | None) -> dict[str, str]:
    return {} if thread is None else {**thread.properties, "thread-stream-id": thread.stream_id}


def _slice(events: AnyEvents, begin: int, end: int) -> AnyEvents:
    """Events from `begin` to before `end`, with the scopes that they use and no others."""
    scopes = events.scopes[begin:end]
    used = np.flatnonzero(np.bincount(scopes, minlength=len(events.scope_table)))
    if len(scopes) == len(events) and len(used) == len(events.scope_table):
        return events
    code_of = np.zeros(len(events.scope_table), np.int32)
    code_of[used] = np.arange(len(used), dtype=np.int32)
    ticks, codes, table = events.ticks[begin:end], code_of[scopes], events.scope_table.take(pa.array(used))
    attributes = None if events.attributes is None else events.attributes[begin:end]
    if isinstance(events, LogLines):
        return LogLines(ticks, events.levels[begin:end], codes, table, events.messages[begin:end], attributes)
    if isinstance(events, Values):
        return Values(ticks, codes, table, events.units[begin:end], events.values[begin:end], attributes)
    if isinstance(events, Links):
        from_ticks, from_streams = events.from_ticks[begin:end], events.from_streams[begin:end]
        span_ids, from_span_ids = events.span_ids[begin:end], events.from_span_ids[begin:end]
        return Links(ticks, codes, table, from_ticks, from_streams, span_ids, from_span_ids, attributes)
    if isinstance(events, WholeSpans):
        end_ticks, span_ids = events.end_ticks[begin:end], events.span_ids[begin:end]
        return WholeSpans(ticks, end_ticks, codes, table, span_ids, events.parent_span_ids[begin:end], attributes)
    tasks = events.async_columns
    return Events(
        ticks,
        events.kinds[begin:end],
        codes,
        table,
        tasks and AsyncColumns(tasks.span_ids[begin:end], tasks.parent_span_ids[begin:end], tasks.depths[begin:end]),
        attributes,
    )


def _distinct(scopes: pa.StructArray) -> tuple[pa.StructArray, npt.NDArray[np.int32]]:
    """Each scope once, and where each of those given is among them; `udtf.lake.scopes.merged` would load numba into
    senders."""
    columns = scopes.flatten()
    texts = [column for column in columns if pa.types.is_string(column.type)]
    numbers = [column for column in columns if not pa.types.is_string(column.type)]
    numbers += [pc.binary_length(text) for text in texts]
    # With the length of each text, so that no two scopes have the same key.
    keys = pc.binary_join_element_wise(*texts, *(number.cast(pa.utf8()) for number in numbers), "\0")
    codes = keys.dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return scopes.take(pa.array(first)), codes
