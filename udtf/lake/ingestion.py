"""Telemetry in: check it whole, store payloads, then commit rows. Whatever returns is stored for good.

A record batch is taken whole or refused whole. Sending one again changes nothing.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import CorruptData, InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.block_format import FORMAT, MAX_PAYLOAD_BYTES, Events, decode_block
from udtf.lake.clock import MAX_FREQUENCY, Clock
from udtf.lake.matching import count_unmatched
from udtf.lake.metadata import BlockRow, MetadataStore, ProcessRow, StreamRow
from udtf.lake.objects import ObjectStore
from udtf.metrics import QueryTally

DECODERS: dict[str, Callable[[bytes], Events]] = {FORMAT: decode_block}
"""How to read the payloads of a stream, by its `format`. A decoder raises InvalidTelemetry for bad bytes."""

TIME_TOLERANCE_NS = 1_000_000
"""How far a sender's own conversion of ticks to time may be from ours, which is the one that is stored."""

MAX_ROWS = 10_000
"""Most rows of a record batch: it is stored in one transaction."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_INT64 = (1 << 63) - 1


class Ingestion:
    """Takes record batches of the three telemetry tables into a lake."""

    def __init__(self, metadata: MetadataStore, objects: ObjectStore) -> None:
        self._metadata = metadata
        self._objects = objects
        self._uploads = ThreadPoolExecutor(8, thread_name_prefix="upload")

    def into(self, metadata: MetadataStore) -> "Ingestion":
        """The same, but that rows go into another view of the tables. It is closed with this one."""
        ingestion = copy(self)
        ingestion._metadata = metadata
        return ingestion

    def ingest(self, table: str, batch: pa.RecordBatch) -> int:
        """Store the rows of a batch; returns their number, those stored before included.

        Raises:
            InvalidTelemetry: something in the batch is wrong, and nothing of it was stored; the message says what.
        """
        tables: dict[str, Callable[[pa.RecordBatch], None]] = {
            "processes": self._ingest_processes,
            "streams": self._ingest_streams,
            "blocks": self._ingest_blocks,
        }
        take = tables.get(table)
        if take is None:
            raise InvalidTelemetry(f"table {table!r} takes no telemetry, expected one of {', '.join(tables)}")
        if batch.num_rows > MAX_ROWS:
            raise InvalidTelemetry(f"a record batch has {batch.num_rows} rows, expected at most {MAX_ROWS}")
        take(batch)
        return int(batch.num_rows)

    def close(self) -> None:
        self._uploads.shutdown()

    def _ingest_processes(self, batch: pa.RecordBatch) -> None:
        now = time.time_ns()
        rows = []
        for values in _rows(batch, schemas.PROCESSES, ("process_id", "tsc_frequency", "start_time", "start_ticks")):
            _check_id("process_id", values["process_id"])
            if not 0 < values["tsc_frequency"] <= MAX_FREQUENCY:
                raise InvalidTelemetry(
                    f"process {values['process_id']!r} has tsc_frequency {values['tsc_frequency']}, "
                    f"expected 1 to {MAX_FREQUENCY} ticks per second"
                )
            rows.append(ProcessRow(**values | {"insert_time": now, "last_update_time": now}))
        self._metadata.put_processes(rows)

    def _ingest_streams(self, batch: pa.RecordBatch) -> None:
        now = time.time_ns()
        rows: list[StreamRow] = []
        for values in _rows(batch, schemas.STREAMS, ("stream_id", "process_id", "tags", "format")):
            stream_id = values["stream_id"]
            _check_id("stream_id", stream_id)
            if (schemas.THREAD_TAG in values["tags"]) == (schemas.ASYNC_TAG in values["tags"]):
                raise InvalidTelemetry(
                    f"stream {stream_id!r} has tags {values['tags']}, "
                    f"expected one of {schemas.THREAD_TAG!r} and {schemas.ASYNC_TAG!r} among them"
                )
            if values["format"] not in DECODERS:
                raise InvalidTelemetry(
                    f"stream {stream_id!r} has format {values['format']!r}, expected one of {', '.join(DECODERS)}"
                )
            # A nanosecond apart, so that streams keep the order in which they were sent.
            insert_time = now + len(rows)
            rows.append(StreamRow(**values | {"insert_time": insert_time, "last_update_time": insert_time}))
        known = self._metadata.known_process_ids({row.process_id for row in rows})
        for row in rows:
            if row.process_id not in known:
                raise InvalidTelemetry(
                    f"stream {row.stream_id!r} belongs to process {row.process_id!r}, which is unknown: send it first"
                )
        self._metadata.put_streams(rows)

    def _ingest_blocks(self, batch: pa.RecordBatch) -> None:
        schema = schemas.BLOCKS.append(pa.field("payload", pa.binary(), nullable=False))
        required = (
            "block_id",
            "stream_id",
            "begin_ticks",
            "end_ticks",
            "nb_objects",
            "object_offset",
            "payload",
        )
        sent = list(_rows(batch, schema, required))
        streams = self._metadata.streams_of_ids({values["stream_id"] for values in sent})
        now = time.time_ns()
        blocks: dict[str, tuple[BlockRow, bytes]] = {}
        for values in sent:
            _check_id("block_id", values["block_id"])
            if values["stream_id"] not in streams:
                raise InvalidTelemetry(
                    f"block {values['block_id']!r} belongs to stream {values['stream_id']!r}, which is unknown: "
                    "send it first"
                )
            row = _check_block(values, *streams[values["stream_id"]], now)
            if blocks.setdefault(row.block_id, (row, values["payload"]))[0] != row:
                raise InvalidTelemetry(f"block {row.block_id!r} is given twice, with different content")
        # Before any payload is stored, which nobody would remove; and again, when others may have come in between.
        new = self._metadata.new_blocks([row for row, _ in blocks.values()])
        self._put_payloads([blocks[row.block_id] for row in new])
        self._metadata.put_blocks(new)

    def _put_payloads(self, blocks: list[tuple[BlockRow, bytes]]) -> None:
        def put(block: tuple[BlockRow, bytes]) -> None:
            self._objects.put(block[0].payload_key, block[1], durable=True)

        try:
            list(self._uploads.map(put, blocks))
        except RuntimeError:
            # A program that writes its last telemetry while it ends can use no pool any more.
            for block in blocks:
                put(block)


def read_events(objects: ObjectStore, stream: StreamRow, block: BlockRow, tally: QueryTally) -> Events:
    """The events of a stored block.

    Raises:
        CorruptData: the payload is missing or is not what was acknowledged.
    """
    payload = tally.read(lambda: objects.get(block.payload_key, tally.store_retried))
    if payload_hash(payload) != block.payload_hash:
        raise CorruptData(
            f"block {block.block_id} is corrupt: its {len(payload)} bytes are not the {block.payload_size} "
            "bytes that were acknowledged"
        )
    try:
        return DECODERS[stream.format](payload)
    except InvalidTelemetry as error:
        raise CorruptData(f"block {block.block_id} is corrupt: {error}") from error


def payload_hash(payload: bytes) -> str:
    """What a payload is known by: BLAKE2b, 128 bits, in hexadecimal."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def _check_block(values: Mapping[str, Any], stream: StreamRow, process: ProcessRow, now: int) -> BlockRow:
    """The row of a block whose payload bears out everything the sender said of it."""
    block_id, payload = values["block_id"], values["payload"]
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidTelemetry(
            f"block {block_id!r} has a payload of {len(payload)} bytes, expected at most {MAX_PAYLOAD_BYTES}"
        )
    try:
        events = DECODERS[stream.format](payload)
    except InvalidTelemetry as error:
        raise InvalidTelemetry(f"block {block_id!r}: {error}") from error
    tag = schemas.THREAD_TAG if events.async_columns is None else schemas.ASYNC_TAG
    if tag not in stream.tags:
        raise InvalidTelemetry(
            f"block {block_id!r} has the columns of a stream tagged {tag!r}, but its stream has tags {stream.tags}"
        )
    begin_ticks, end_ticks = int(events.ticks[0]), int(events.ticks[-1])
    begin_time = _time_of(process.clock, begin_ticks, block_id)
    end_time = _time_of(process.clock, end_ticks, block_id)
    truth: dict[str, Any] = {
        "process_id": process.process_id,
        "begin_ticks": begin_ticks,
        "end_ticks": end_ticks,
        "nb_objects": len(events),
        "payload_size": len(payload),
    }
    for name, expected in truth.items():
        if values[name] not in (None, expected):
            raise InvalidTelemetry(f"block {block_id!r} has {name} {values[name]!r}, but its payload says {expected!r}")
    for name, expected in (("begin_time", begin_time), ("end_time", end_time)):
        given = values[name]
        if given is not None and abs(given - expected) > TIME_TOLERANCE_NS:
            raise InvalidTelemetry(f"block {block_id!r} has {name} {given} ns, but its ticks say {expected} ns")
    object_offset = values["object_offset"]
    if not 0 <= object_offset <= _MAX_INT64 - len(events):
        raise InvalidTelemetry(f"block {block_id!r} has object_offset {object_offset}, expected 0 or more")
    unmatched_ends, unmatched_begins = _count_unmatched(events, block_id)
    return BlockRow(
        **truth,
        block_id=block_id,
        stream_id=stream.stream_id,
        begin_time=begin_time,
        end_time=end_time,
        object_offset=object_offset,
        insert_time=now,
        payload_hash=payload_hash(payload),
        unmatched_ends=unmatched_ends,
        unmatched_begins=unmatched_begins,
    )


def _time_of(clock: Clock, ticks: int, block_id: str) -> int:
    time_ns = clock.to_ns(ticks)
    # No trace holds times before 1970, and the last value of int64 means "never".
    if not (0 <= time_ns < _MAX_INT64 and -_MAX_INT64 <= ticks - clock.start_ticks <= _MAX_INT64):
        raise InvalidTelemetry(
            f"block {block_id!r} has events at tick {ticks}, which is {time_ns} ns since 1970, expected 0 to "
            f"{_MAX_INT64 - 1}"
        )
    return time_ns


def _count_unmatched(events: Events, block_id: str) -> tuple[int, int]:
    """(ends whose begin, begins whose end) must be in another block.

    Raises:
        InvalidTelemetry: an async span begins or ends twice, or ends before it begins.
    """
    if events.async_columns is None:
        ends, begins = count_unmatched(events.kinds)
        return int(ends), int(begins)
    is_begin = events.kinds == 0
    span_ids = events.async_columns.span_ids
    begun, begun_at = np.unique(span_ids[is_begin], return_index=True)
    ended, ended_at = np.unique(span_ids[~is_begin], return_index=True)
    if len(begun) < is_begin.sum() or len(ended) < len(events) - is_begin.sum():
        raise InvalidTelemetry(f"block {block_id!r} begins or ends an async span twice, expected each span_id once")
    both, in_begun, in_ended = np.intersect1d(begun, ended, assume_unique=True, return_indices=True)
    positions = np.arange(len(events))
    backwards = positions[~is_begin][ended_at[in_ended]] < positions[is_begin][begun_at[in_begun]]
    if backwards.any():
        raise InvalidTelemetry(f"block {block_id!r} ends async span {both[backwards][0]} before it begins")
    return len(ended) - len(both), len(begun) - len(both)


def _rows(batch: pa.RecordBatch, schema: pa.Schema, required: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a batch with every column of the schema; what was not sent is None, or empty where null is not
    allowed. Times are nanoseconds."""
    unknown = [name for name in batch.schema.names if name not in schema.names]
    if unknown:
        raise InvalidTelemetry(f"unknown column {unknown[0]!r}, expected columns among {', '.join(schema.names)}")
    if len(set(batch.schema.names)) < batch.num_columns:
        raise InvalidTelemetry(f"a column is given twice: {', '.join(batch.schema.names)}")
    missing = [name for name in required if name not in batch.schema.names]
    if missing:
        raise InvalidTelemetry(f"column {missing[0]!r} is missing, expected at least {', '.join(required)}")
    columns: dict[str, list[Any]] = {}
    for field in schema:
        if field.name not in batch.schema.names:
            columns[field.name] = [_default(field)] * batch.num_rows
            continue
        column = _cast(batch.column(field.name), field)
        if field.name in required and column.null_count:
            raise InvalidTelemetry(f"column {field.name!r} has a null, expected a value in every row")
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.int64())
        values = column.to_pylist()
        if pa.types.is_map(field.type):
            values = [_properties(field.name, value) for value in values]
        columns[field.name] = [_default(field) if value is None else value for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _default(field: pa.Field) -> Any:
    return {} if pa.types.is_map(field.type) else None


def _properties(name: str, pairs: list[tuple[str, str | None]] | None) -> dict[str, str]:
    properties = dict(pairs or ())
    if any(value is None for value in properties.values()):
        raise InvalidTelemetry(f"column {name!r} has a key without a value, expected text for every key")
    return {key: value for key, value in properties.items() if value is not None}


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    """What clients send for a type: other widths, dictionaries, views, times without a zone (taken as UTC)."""
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = pc.assume_timezone(column, "UTC")
        column = column.cast(field.type)
        column.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidTelemetry(
            f"column {field.name!r} has type {column.type}, expected {field.type}: {reason}"
        ) from error
    if any(pc.any(pc.match_substring(text, "\0")).as_py() for text in _texts(column)):
        raise InvalidTelemetry(f"column {field.name!r} has a NUL character, expected text that every database takes")
    return column


def _texts(column: pa.Array) -> list[pa.Array]:
    """All text in a column, that of lists and maps included."""
    if pa.types.is_map(column.type):
        return [column.keys, column.items]
    if pa.types.is_list(column.type):
        return _texts(column.values)
    return [column] if pa.types.is_string(column.type) else []


def _check_id(name: str, value: str) -> None:
    """Ids name objects in the store, so they must be harmless as parts of a path."""
    if not _ID.fullmatch(value):
        raise InvalidTelemetry(
            f"{name} {value[:200]!r} is not an id, expected 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
