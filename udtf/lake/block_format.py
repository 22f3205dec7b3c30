"""Events of spans as a sender has them, and the block format `arrow-v1`: the events of one block as an Arrow IPC stream
of one record batch.

Columns, in this order, none with nulls:

    ticks           int64       time of the event, in the process's ticks; never decreasing
    kind            uint8       0 begin, 1 end
    scope           dictionary<int32, struct<name, target, filename: utf8, line: uint32>>
    span_id         int64       async streams only: unique in the process, greater than 0
    parent_span_id  int64       async streams only: 0 when there is none
    depth           uint32      async streams only: number of ancestors

Buffers are compressed with LZ4. An end repeats the scope of its begin; matching never looks at it.
Nothing heavy is needed here, because the tracing library writes blocks too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.arrow.messages import MessageGuard, check_names, open_stream
from udtf.errors import InvalidArgument, InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.schemas import SCOPE

FORMAT = "arrow-v1"
BEGIN = 0
END = 1
MAX_EVENTS = 1 << 20
"""Most events in one block: keeps the memory that a block needs small and known."""
MAX_PAYLOAD_BYTES = 64 << 20
MAX_DECODED_BYTES = 35 * MAX_EVENTS + MAX_PAYLOAD_BYTES
"""Most that a payload may take without compression. An event has 33 bytes, and less than two for validity and padding;
the scopes may take as much as a payload that is not compressed."""
MAX_TEXT_BYTES = (1 << 14) - 1
"""Longest text of an event: with as many events as a partition may have, the texts fit into one Arrow column."""

THREAD_EVENTS = pa.schema(list(schemas.THREAD_EVENT))
ASYNC_EVENTS = pa.schema(list(schemas.ASYNC_EVENT))


class Scope(NamedTuple):
    """Where a span comes from in the source: what is recorded once, not per event."""

    name: str
    target: str
    filename: str
    line: int


@dataclass(frozen=True)
class AsyncColumns:
    """What an event of an async stream has besides, one entry per event."""

    span_ids: npt.NDArray[np.int64]
    parent_span_ids: npt.NDArray[np.int64]
    depths: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Events:
    """The events of one block as columns of equal length; `scopes` are codes into `scope_table`."""

    ticks: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    scopes: npt.NDArray[np.int32]
    scope_table: pa.StructArray
    async_columns: AsyncColumns | None = None
    attributes: pa.BinaryArray | None = None
    """Of each event, as `udtf.lake.attributes` has them; a payload has none."""

    def __len__(self) -> int:
        return len(self.ticks)


def scope_array(scopes: Sequence[Scope]) -> pa.StructArray:
    """A scope table, one row a scope, of type `SCOPE`."""
    names, targets, filenames, lines = zip(*scopes, strict=True) if scopes else ((), (), (), ())
    return pa.StructArray.from_arrays(
        [
            pa.array(names, pa.utf8()),
            pa.array(targets, pa.utf8()),
            pa.array(filenames, pa.utf8()),
            pa.array(lines, pa.uint32()),
        ],
        fields=list(SCOPE),
    )


def encode_block(events: Events) -> bytes:
    """The payload of a block. Does not validate: the server does.

    Raises:
        ValueError: the events have attributes, for which the format has no place; send a list of events.
    """
    if events.attributes is not None:
        raise ValueError("events with attributes have no payload, send them as a list")
    columns = [
        pa.array(events.ticks, pa.int64()),
        pa.array(events.kinds, pa.uint8()),
        pa.DictionaryArray.from_arrays(pa.array(events.scopes, pa.int32()), events.scope_table),
    ]
    schema = THREAD_EVENTS
    if events.async_columns is not None:
        schema = ASYNC_EVENTS
        columns += [
            pa.array(events.async_columns.span_ids, pa.int64()),
            pa.array(events.async_columns.parent_span_ids, pa.int64()),
            pa.array(events.async_columns.depths, pa.uint32()),
        ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def decode_block(payload: bytes | pa.Buffer) -> Events:
    """The events of a payload.

    Raises:
        InvalidTelemetry: the payload is not a block of this format; the message says what is wrong.
    """
    batch = _read_batch(payload)
    if batch.schema.equals(THREAD_EVENTS):
        async_columns = None
    elif batch.schema.equals(ASYNC_EVENTS):
        async_columns = AsyncColumns(
            batch.column("span_id").to_numpy(),
            batch.column("parent_span_id").to_numpy(),
            batch.column("depth").to_numpy(),
        )
    else:
        found = ", ".join(f"{field.name}: {field.type}" for field in batch.schema)
        raise InvalidTelemetry(
            f"payload has columns ({found[:300]}), expected those of {FORMAT}: ticks int64, kind uint8, "
            "scope dictionary<int32, struct<name, target, filename, line>>, none nullable, "
            "and for async streams span_id int64, parent_span_id int64, depth uint32"
        )
    scope: pa.DictionaryArray = batch.column("scope")
    events = Events(
        batch.column("ticks").to_numpy(),
        batch.column("kind").to_numpy(),
        scope.indices.to_numpy(),
        scope.dictionary,
        async_columns,
    )
    _check_values(events)
    return events


def _read_batch(payload: bytes | pa.Buffer) -> pa.RecordBatch:
    try:
        reader = open_stream(payload, MessageGuard(MAX_DECODED_BYTES, MAX_EVENTS))
        if reader.schema not in (THREAD_EVENTS, ASYNC_EVENTS):
            check_names(reader.schema)  # they will be told
        batch = reader.read_next_batch()
        trailing = next(iter(reader), None)
        batch.validate(full=True)
    except StopIteration:
        raise InvalidTelemetry("payload is an Arrow IPC stream without a record batch, expected one") from None
    except InvalidArgument as error:
        raise InvalidTelemetry(f"payload: {error}") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidTelemetry(f"payload is not a readable Arrow IPC stream: {reason}") from error
    if trailing is not None:
        raise InvalidTelemetry("payload has more than one record batch, expected one")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            raise InvalidTelemetry(f"payload column {name!r} has {column.null_count} nulls, expected none")
    return batch


def _check_values(events: Events) -> None:
    """What the types do not say."""
    if not 0 < len(events) <= MAX_EVENTS:
        raise InvalidTelemetry(f"payload has {len(events)} events, expected 1 to {MAX_EVENTS}")
    if np.any(events.ticks[1:] < events.ticks[:-1]):
        index = int(np.argmax(events.ticks[1:] < events.ticks[:-1])) + 1
        raise InvalidTelemetry(
            f"payload column 'ticks' decreases at event {index}: {events.ticks[index]} after {events.ticks[index - 1]}"
        )
    if np.any(events.kinds > END):
        index = int(np.argmax(events.kinds > END))
        raise InvalidTelemetry(
            f"payload column 'kind' is {events.kinds[index]} at event {index}, expected 0 (begin) or 1 (end)"
        )
    table = events.scope_table
    if table.null_count or any(table.field(i).null_count for i in range(table.type.num_fields)):
        raise InvalidTelemetry("payload has a scope with a null in it, expected none")
    if events.async_columns is not None and np.any(events.async_columns.span_ids <= 0):
        raise InvalidTelemetry("payload column 'span_id' has a value of 0 or less, expected greater than 0")
