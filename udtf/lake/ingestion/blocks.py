"""Blocks as they come in: a record batch, checked whole, with all its columns as arrays.

A block brings its events in one of two ways: as a list in the column of its kind of telemetry (`thread_events`, ...),
or as a `payload`, the bytes of an Arrow IPC stream of its own (`block_format.py`). Lists are looked at all at once,
payloads one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import InvalidEvent, InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.block_format import MAX_EVENTS, MAX_PAYLOAD_BYTES, decode_block
from udtf.lake.clock import Clock
from udtf.lake.events import SCOPE, Events, concatenate, from_struct
from udtf.lake.fingerprints import fingerprints
from udtf.lake.ingestion.attributes import read_attributes
from udtf.lake.ingestion.columns import cast, check_columns
from udtf.lake.matching import first_decrease
from udtf.lake.metadata import StreamRow
from udtf.lake.ranges import ranges
from udtf.lake.scopes import hashed
from udtf.views.catalog import KINDS
from udtf.views.kind import Kind

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

TIME_TOLERANCE_NS = 1_000_000
"""How far a sender's own conversion of ticks to time may be from ours, which is the one that is stored."""

_MAX_INT64 = (1 << 63) - 1
_EVENT_BYTES = {"ticks": 8, "kind": 1, SCOPE: 4}

MAX_BLOCK_ID_BYTES = 256
"""It is a name, and kept with each block."""

PAYLOAD = pa.field("payload", pa.binary())
_OPTIONAL = ("process_id", "begin_ticks", "end_ticks", "nb_objects", "payload_size", "begin_time", "end_time")


@dataclass(frozen=True)
class Blocks:
    """Blocks of one kind of telemetry as columns of equal length; block b has the events from `bounds[b]` to
    `bounds[b + 1]`.

    Those that `are_appended` go on where their streams end, wherever that is: `first` counts from there.
    """

    kind: Kind
    block_ids: pa.StringArray
    stream_ids: pa.StringArray
    first: Int64s
    begin_ticks: Int64s
    end_ticks: Int64s
    fingerprints: Int64s
    payload_bytes: Int64s
    events: Events
    bounds: Int64s
    are_appended: bool = False

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def nb_events(self) -> Int64s:
        counts: Int64s = np.diff(self.bounds)
        return counts

    @cached_property
    def streams(self) -> pa.StringArray:
        """The streams that there are blocks of, each once."""
        return self._by_stream.dictionary

    @cached_property
    def stream_codes(self) -> Int32s:
        """For each block which of `streams` it is of."""
        return np.asarray(self._by_stream.indices.to_numpy())

    @cached_property
    def _by_stream(self) -> pa.DictionaryArray:
        return self.stream_ids.dictionary_encode()

    @property
    def end(self) -> Int64s:
        """Ordinal of the event after the last one of each block."""
        return self.first + self.nb_events

    def take(self, order: Int64s) -> "Blocks":
        """Some of the blocks with their events, in an order."""
        if len(order) == len(self) and np.array_equal(order, np.arange(len(self))):
            return self
        counts = self.nb_events[order]
        positions = pa.array(order)
        return replace(
            self,
            block_ids=self.block_ids.take(positions),
            stream_ids=self.stream_ids.take(positions),
            first=self.first[order],
            begin_ticks=self.begin_ticks[order],
            end_ticks=self.end_ticks[order],
            fingerprints=self.fingerprints[order],
            payload_bytes=self.payload_bytes[order],
            events=self.events.take(ranges(self.bounds[:-1][order], counts)),
            bounds=np.concatenate(([0], np.cumsum(counts))),
        )

    def in_line(self) -> "Blocks":
        """The same, if they are appended with those of each stream one behind the other."""
        if not self.are_appended:
            return self
        before = np.cumsum(self.nb_events) - self.nb_events
        starts = np.full(len(self.streams), len(self.events))
        np.minimum.at(starts, self.stream_codes, before)
        return replace(self, first=before - starts[self.stream_codes])

    def behind(self, ends: Int64s) -> "Blocks":
        """Appended blocks in their places, given where each of `streams` ends."""
        return replace(self, first=self.first + ends[self.stream_codes], are_appended=False)

    def name(self, block: int) -> str:
        """For messages."""
        return f"block {self.block_ids[block].as_py()!r}"


def read_blocks(batch: pa.RecordBatch) -> list[tuple[Blocks, Int64s]]:
    """The blocks of a batch by kind of telemetry, with the rows of the batch that they are.

    Raises:
        InvalidTelemetry: something is wrong with a column or an event; the message names the block.
    """
    lists = {kind.column: kind for kind in KINDS}
    known = [*schemas.BLOCKS.names, PAYLOAD.name, *lists]
    check_columns(batch, known, ("stream_id",))
    are_appended = "object_offset" not in batch.schema.names
    first = np.zeros(batch.num_rows, np.int64) if are_appended else _integers(batch, "object_offset")
    if np.any((first < 0) | (first > _MAX_INT64 - MAX_EVENTS)):
        wrong = int(np.argmax((first < 0) | (first > _MAX_INT64 - MAX_EVENTS)))
        raise InvalidTelemetry(f"row {wrong} has object_offset {first[wrong]}, expected 0 or more")
    stream_ids = cast(batch.column("stream_id"), schemas.BLOCKS.field("stream_id"))
    if stream_ids.null_count:
        raise InvalidTelemetry("column 'stream_id' has a null, expected a value in every row")
    block_ids = _given_ids(batch) if are_appended else _block_ids(batch, stream_ids, first)
    given = [name for name in (PAYLOAD.name, *lists) if name in batch.schema.names]
    filled = np.zeros(batch.num_rows, np.int64)
    found = []
    for name in given:
        rows = np.flatnonzero(np.asarray(batch.column(name).is_valid()))
        filled[rows] += 1
        if not len(rows):
            continue
        column = batch.column(name).take(pa.array(rows)) if len(rows) < batch.num_rows else batch.column(name)
        ids = block_ids.take(pa.array(rows))
        parts = _of_payloads(column, ids) if name == PAYLOAD.name else [_of_lists(lists[name], column, ids)]
        for kind, of_kind, events, bounds, payload_bytes in parts:
            if are_appended and kind.is_ordered:
                raise InvalidTelemetry(
                    f"column 'object_offset' is missing, expected the ordinal of the first event for blocks of {name}"
                )
            of_batch = rows[of_kind]
            blocks = _checked(
                kind,
                block_ids.take(pa.array(of_batch)),
                stream_ids.take(pa.array(of_batch)),
                first[of_batch],
                events,
                bounds,
                payload_bytes,
            )
            _check_given(batch, of_batch, blocks)
            found.append((replace(blocks, are_appended=are_appended), of_batch))
    if np.any(filled != 1):
        wrong = int(np.argmax(filled != 1))
        raise InvalidTelemetry(
            f"block {block_ids[wrong].as_py()!r} has events in {filled[wrong]} columns, expected one of "
            f"{', '.join((PAYLOAD.name, *lists))}"
        )
    return found


def check_streams(blocks: Blocks, streams: Mapping[str, StreamRow]) -> list[StreamRow]:
    """The streams of blocks, as `Blocks.streams` has them.

    Raises:
        InvalidTelemetry: a stream is unknown, or has another kind of telemetry.
    """
    rows = [streams.get(stream_id) for stream_id in blocks.streams.to_pylist()]
    for number, row in enumerate(rows):
        if row is None or blocks.kind.tag not in row.tags:
            name = blocks.name(int(np.argmax(blocks.stream_codes == number)))
            stream_id = blocks.streams[number].as_py()
            if row is None:
                raise InvalidTelemetry(f"{name} belongs to stream {stream_id!r}, which is unknown: send it first")
            raise InvalidTelemetry(
                f"{name} has the columns of a stream tagged {blocks.kind.tag!r}, but its stream has tags {row.tags}"
            )
    return [row for row in rows if row is not None]


def check_times(batch: pa.RecordBatch, rows: Int64s, blocks: Blocks, clock: Clock) -> None:
    """Compare the times of blocks of one process with what its clock says.

    Raises:
        InvalidTelemetry: a time is not from 1970 to 2262, or a sender converts ticks otherwise than we do.
    """
    for block, ticks in (
        (int(np.argmin(blocks.begin_ticks)), int(blocks.begin_ticks.min())),
        (int(np.argmax(blocks.end_ticks)), int(blocks.end_ticks.max())),
    ):
        time_ns = clock.to_ns(ticks)
        # No trace holds times before 1970, and the last value of int64 means "never".
        if not (0 <= time_ns < _MAX_INT64 and -_MAX_INT64 <= ticks - clock.start_ticks <= _MAX_INT64):
            raise InvalidTelemetry(
                f"{blocks.name(block)} has events at tick {ticks}, which is {time_ns} ns since 1970, expected 0 to "
                f"{_MAX_INT64 - 1}"
            )
    for name, ticks_of in (("begin_time", blocks.begin_ticks), ("end_time", blocks.end_ticks)):
        if name in batch.schema.names:
            column = cast(batch.column(name), schemas.BLOCKS.field(name)).cast(pa.int64()).take(pa.array(rows))
            expected = clock.to_ns(ticks_of)
            given = column.fill_null(0).to_numpy()
            wrong = np.flatnonzero((np.abs(given - expected) > TIME_TOLERANCE_NS) & np.asarray(column.is_valid()))
            if len(wrong):
                raise InvalidTelemetry(
                    f"{blocks.name(int(wrong[0]))} has {name} {given[wrong[0]]} ns, but its ticks say "
                    f"{expected[wrong[0]]} ns"
                )


_Part = tuple[Kind, Int64s, Events, Int64s, Int64s | None]
"""Kind, rows, events, bounds, bytes of payloads."""


def _of_lists(kind: Kind, column: pa.Array, block_ids: pa.StringArray) -> _Part:
    expected = pa.list_(kind.event)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)) or not pa.types.is_struct(
        column.type.value_type
    ):
        raise InvalidTelemetry(f"column {kind.column!r} has type {column.type}, expected {expected}")
    counts = np.asarray(pc.list_value_length(column).to_numpy(), np.int64)
    values: pa.StructArray = column.flatten()
    if values.null_count:
        raise InvalidTelemetry(f"column {kind.column!r} has a null event, expected none")
    names = [field.name for field in values.type]
    expected_names = [field.name for field in kind.event]
    if sorted(names) not in (sorted(expected_names), sorted([*expected_names, schemas.ATTRIBUTES.name])):
        raise InvalidTelemetry(
            f"column {kind.column!r} has events with fields {', '.join(names)}, expected "
            f"{', '.join(expected_names)}, and {schemas.ATTRIBUTES.name} if there are some"
        )
    flat = dict(zip(names, values.flatten(), strict=True))
    columns = {field.name: _cast_field(kind, field, flat[field.name]) for field in kind.event}
    bounds = np.concatenate(([0], np.cumsum(counts)))
    if (attributes := flat.get(schemas.ATTRIBUTES.name)) is not None:
        try:
            columns[schemas.ATTRIBUTES.name] = read_attributes(
                attributes, f"column {kind.column!r}, field {schemas.ATTRIBUTES.name!r}"
            )
        except InvalidEvent as error:
            raise _in_block(error, block_ids, bounds) from error
    events = from_struct(pa.StructArray.from_arrays(list(columns.values()), list(columns)))
    return kind, np.arange(len(column)), events, bounds, None


def _cast_field(kind: Kind, field: pa.Field, values: pa.Array) -> pa.Array:
    where = f"column {kind.column!r}, field {field.name!r}"
    try:
        if pa.types.is_dictionary(field.type) and pa.types.is_struct(values.type):
            values = pa.DictionaryArray.from_arrays(pa.array(np.arange(len(values), dtype=np.int32)), values)
        elif not values.type.equals(field.type):
            values = values.cast(field.type)
        values.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidTelemetry(f"{where} has type {values.type}, expected {field.type}: {reason}") from error
    if values.null_count and not field.nullable:
        raise InvalidTelemetry(f"{where} has {values.null_count} nulls, expected none")
    if field.name == SCOPE:
        table = values.dictionary
        if table.null_count or any(part.null_count for part in table.flatten()):
            raise InvalidTelemetry(f"{where} has a null in a scope, expected none")
    return values


def _of_payloads(column: pa.Array, block_ids: pa.StringArray) -> list[_Part]:
    """The events of payloads, by kind."""
    payloads = cast(column, PAYLOAD)
    decoded: dict[str, list[tuple[int, Events, int]]] = {}
    for row, payload in enumerate(payloads):
        data = payload.as_buffer()
        try:
            if data.size > MAX_PAYLOAD_BYTES:
                raise InvalidTelemetry(f"payload has {data.size} bytes, expected at most {MAX_PAYLOAD_BYTES}")
            events = decode_block(data)
        except InvalidTelemetry as error:
            raise InvalidTelemetry(f"block {block_ids[row].as_py()!r}: {error}") from error
        column_name = "thread_events" if events.async_columns is None else "async_events"
        columns = {"ticks": events.ticks, "kind": events.kinds, SCOPE: events.scopes}
        if events.async_columns is not None:
            columns |= {
                "span_id": events.async_columns.span_ids,
                "parent_span_id": events.async_columns.parent_span_ids,
                "depth": events.async_columns.depths,
            }
        batch = pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
        decoded.setdefault(column_name, []).append((row, Events(batch, hashed(events.scope_table)), data.size))
    parts: list[_Part] = []
    for kind in KINDS:
        if kind.column in decoded:
            rows, events_of, sizes = zip(*decoded[kind.column], strict=True)
            bounds = np.concatenate(([0], np.cumsum([len(events) for events in events_of])))
            parts.append((kind, np.array(rows), concatenate(events_of), bounds, np.array(sizes)))
    return parts


def _in_block(error: InvalidEvent, block_ids: pa.StringArray, bounds: Int64s) -> InvalidTelemetry:
    """What is wrong with an event, in words that name its block."""
    block = int(np.searchsorted(bounds, error.position, side="right")) - 1
    return InvalidTelemetry(
        f"block {block_ids[block].as_py()!r}: {error.found} at event {error.position - bounds[block]}, "
        f"expected {error.expected}"
    )


def _checked(
    kind: Kind,
    block_ids: pa.StringArray,
    stream_ids: pa.StringArray,
    first: Int64s,
    events: Events,
    bounds: Int64s,
    payload_bytes: Int64s | None,
) -> Blocks:
    counts = np.diff(bounds)

    def refuse(block: int, reason: str) -> None:
        raise InvalidTelemetry(f"block {block_ids[block].as_py()!r}: {reason}")

    if np.any((counts < 1) | (counts > MAX_EVENTS)):
        wrong = int(np.argmax((counts < 1) | (counts > MAX_EVENTS)))
        refuse(wrong, f"it has {counts[wrong]} events, expected 1 to {MAX_EVENTS}")
    ticks = events.column("ticks")
    decrease = first_decrease(ticks, bounds) if kind.is_ordered else -1
    if decrease >= 0:
        wrong = int(np.searchsorted(bounds, decrease, side="right")) - 1
        refuse(
            wrong,
            f"column 'ticks' decreases at event {decrease - bounds[wrong]}: {ticks[decrease]} after "
            f"{ticks[decrease - 1]}",
        )
    try:
        kind.check(events, bounds)
    except InvalidEvent as error:
        raise _in_block(error, block_ids, bounds) from error
    if payload_bytes is None:
        width = sum(field.type.bit_width // 8 for field in kind.event if pa.types.is_primitive(field.type)) + 4
        payload_bytes = counts * width
        for column in events.rows.columns:
            if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
                sizes = np.asarray(pc.binary_length(column).to_numpy())
                payload_bytes += np.add.reduceat(sizes.astype(np.int64), bounds[:-1])
    if kind.keeps_block_ids:
        of_events = pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(np.arange(len(first), dtype=np.int32), counts)), block_ids
        )
        keyed = replace(events, rows=events.rows.append_column("block_id", of_events))
    else:
        keyed = events
    return Blocks(
        kind,
        block_ids,
        stream_ids,
        first,
        *kind.extents(events, bounds),
        fingerprints(events, bounds),
        payload_bytes,
        keyed,
        bounds,
    )


def _check_given(batch: pa.RecordBatch, rows: Int64s, blocks: Blocks) -> None:
    """What a sender says of its blocks must be what their events say."""
    truth = {
        "begin_ticks": blocks.begin_ticks,
        "end_ticks": blocks.end_ticks,
        "nb_objects": blocks.nb_events,
        "payload_size": blocks.payload_bytes,
    }
    for name, expected in truth.items():
        if name not in batch.schema.names:
            continue
        column = cast(batch.column(name), schemas.BLOCKS.field(name)).take(pa.array(rows))
        given = column.fill_null(0).to_numpy()
        wrong = np.flatnonzero((given != expected) & np.asarray(column.is_valid()))
        if len(wrong):
            block = int(wrong[0])
            raise InvalidTelemetry(
                f"{blocks.name(block)} has {name} {given[block]}, but its events say {expected[block]}"
            )


def _integers(batch: pa.RecordBatch, name: str) -> Int64s:
    column = cast(batch.column(name), schemas.BLOCKS.field(name))
    if column.null_count:
        raise InvalidTelemetry(f"column {name!r} has a null, expected a value in every row")
    return np.asarray(column.to_numpy())


def _block_ids(batch: pa.RecordBatch, stream_ids: pa.StringArray, first: Int64s) -> pa.StringArray:
    """As they were sent; one that was not is made from the stream and the ordinal of the first event."""
    made = pc.binary_join_element_wise(stream_ids, pa.array(first).cast(pa.utf8()), "-")
    return made if "block_id" not in batch.schema.names else pc.coalesce(_sent_ids(batch), made)


def _given_ids(batch: pa.RecordBatch) -> pa.StringArray:
    """Those of blocks that nothing else tells apart."""
    ids = _sent_ids(batch) if "block_id" in batch.schema.names else pa.nulls(batch.num_rows, pa.utf8())
    if ids.null_count:
        raise InvalidTelemetry(
            "expected an object_offset for every block, or a block_id to know it by if it comes again"
        )
    return ids


def _sent_ids(batch: pa.RecordBatch) -> pa.StringArray:
    column = cast(batch.column("block_id"), schemas.BLOCKS.field("block_id"))
    long = np.flatnonzero(pc.binary_length(column).fill_null(0).to_numpy() > MAX_BLOCK_ID_BYTES)
    if len(long):
        raise InvalidTelemetry(f"row {long[0]} has a block_id of more than {MAX_BLOCK_ID_BYTES} bytes")
    return column


def join_blocks(parts: Sequence[Blocks]) -> Blocks:
    """Blocks of one kind, end to end."""
    if len(parts) == 1:
        return parts[0]
    return Blocks(
        parts[0].kind,
        pa.concat_arrays([part.block_ids for part in parts]),
        pa.concat_arrays([part.stream_ids for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.begin_ticks for part in parts]),
        np.concatenate([part.end_ticks for part in parts]),
        np.concatenate([part.fingerprints for part in parts]),
        np.concatenate([part.payload_bytes for part in parts]),
        concatenate([part.events for part in parts]),
        np.concatenate(([0], np.cumsum(np.concatenate([part.nb_events for part in parts])))),
        parts[0].are_appended,
    )
