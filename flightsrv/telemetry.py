"""Telemetry as a sender makes it: processes, streams and blocks, as values and as record batches to ingest.

The columns are those of `udtf.lake.schemas` that a sender knows; the server adds the rest. Send a process
before its streams and a stream before its blocks. Sending anything again is harmless.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.lake import schemas
from udtf.lake.block_format import FORMAT, AsyncColumns, Events

THREAD_EVENT_BYTES = 13
ASYNC_EVENT_BYTES = 33
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
    """The ordered events of one thread, or events of async spans; `tags` holds which of the two."""

    stream_id: str
    process_id: str
    tags: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    format: str = FORMAT


@dataclass(frozen=True)
class Block:
    """A run of one stream's events; `object_offset` is the ordinal in the stream of the first of them."""

    block_id: str
    stream_id: str
    process_id: str
    object_offset: int
    events: Events = field(repr=False, compare=False)

    @property
    def nb_objects(self) -> int:
        """Number of its events."""
        return len(self.events)

    @property
    def size_bytes(self) -> int:
        """Size of its events and of their scopes, without compression."""
        width = THREAD_EVENT_BYTES if self.events.async_columns is None else ASYNC_EVENT_BYTES
        return len(self.events) * width + int(self.events.scope_table.nbytes)


def thread_stream(stream_id: str, process_id: str, thread_name: str, thread_id: int) -> Stream:
    """The stream of a thread; `thread_id` is the operating system's."""
    return Stream(stream_id, process_id, (schemas.THREAD_TAG,), _thread_properties(thread_name, thread_id))


def async_stream(stream_id: str, process_id: str, thread_name: str, thread_id: int) -> Stream:
    """A stream of async spans, with the thread whose event loop runs them."""
    return Stream(stream_id, process_id, (schemas.ASYNC_TAG,), _thread_properties(thread_name, thread_id))


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
    """Rows for the table `blocks`: the events of each block are a list in the column of its kind."""
    columns = {
        "block_id": pa.array([block.block_id for block in blocks], pa.utf8()),
        "stream_id": pa.array([block.stream_id for block in blocks], pa.utf8()),
        "process_id": pa.array([block.process_id for block in blocks], pa.utf8()),
        "object_offset": pa.array([block.object_offset for block in blocks], pa.int64()),
    }
    for name, event, is_async in (
        ("thread_events", schemas.THREAD_EVENT, False),
        ("async_events", schemas.ASYNC_EVENT, True),
    ):
        given = [block.events if (block.events.async_columns is not None) == is_async else None for block in blocks]
        columns[name] = _event_lists(given, event)
    return pa.record_batch(columns)


def cut_blocks(
    stream: Stream,
    events: Events,
    first_ordinal: int = 0,
    max_events: int = DEFAULT_BLOCK_EVENTS,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> Iterator[Block]:
    """Consecutive blocks of at most `max_events` events each, all events of a stream from `first_ordinal` on.

    A block holds only the scopes that its own events use. No events make no block.
    """
    for begin in range(0, len(events), max_events):
        part = _slice(events, begin, min(begin + max_events, len(events)))
        yield Block(
            block_id=new_id(),
            stream_id=stream.stream_id,
            process_id=stream.process_id,
            object_offset=first_ordinal + begin,
            events=part,
        )


def _columns(schema: pa.Schema, server_side: set[str]) -> pa.Schema:
    return pa.schema([column for column in schema if column.name not in server_side])


_PROCESSES = _columns(schemas.PROCESSES, {"insert_time", *schemas.PROCESS_HISTORY})
_STREAMS = _columns(schemas.STREAMS, {"insert_time", "last_update_time"})


def _event_lists(given: Sequence[Events | None], event: pa.StructType) -> pa.ListArray:
    """A list of events for each block; none for those of another kind."""
    parts = [events for events in given if events is not None]
    if not parts:
        return pa.nulls(len(given), pa.list_(event))
    first_scopes = np.cumsum([0, *(len(part.scope_table) for part in parts[:-1])])
    scopes = np.concatenate([part.scopes + first for part, first in zip(parts, first_scopes, strict=True)])
    table, code_of = _distinct(pa.concat_arrays([part.scope_table for part in parts]))
    columns = [
        pa.array(np.concatenate([part.ticks for part in parts])),
        pa.array(np.concatenate([part.kinds for part in parts])),
        pa.DictionaryArray.from_arrays(pa.array(code_of[scopes]), table),
    ]
    tasks = [part.async_columns for part in parts if part.async_columns is not None]
    if tasks:
        columns += [
            pa.array(np.concatenate([part.span_ids for part in tasks])),
            pa.array(np.concatenate([part.parent_span_ids for part in tasks])),
            pa.array(np.concatenate([part.depths for part in tasks])),
        ]
    offsets = np.cumsum([0, *(0 if events is None else len(events) for events in given)])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.StructArray.from_arrays(columns, fields=list(event)),
        mask=pa.array([events is None for events in given]),
    )


def _thread_properties(thread_name: str, thread_id: int) -> dict[str, str]:
    return {"thread-name": thread_name, "thread-id": str(thread_id)}


def _properties_array(rows: Sequence[Mapping[str, str]]) -> pa.Array:
    return pa.array([list(row.items()) for row in rows], schemas.PROPERTIES)


def _slice(events: Events, begin: int, end: int) -> Events:
    """Events from `begin` to before `end`, with the scopes that they use and no others."""
    scopes = events.scopes[begin:end]
    used = np.flatnonzero(np.bincount(scopes, minlength=len(events.scope_table)))
    code_of = np.zeros(len(events.scope_table), np.int32)
    code_of[used] = np.arange(len(used), dtype=np.int32)
    columns = events.async_columns
    return Events(
        events.ticks[begin:end],
        events.kinds[begin:end],
        code_of[scopes],
        events.scope_table.take(pa.array(used)),
        columns
        and AsyncColumns(columns.span_ids[begin:end], columns.parent_span_ids[begin:end], columns.depths[begin:end]),
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
