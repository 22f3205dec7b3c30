"""Rows on their way to a client: slices that fit into messages, and progress between them."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call, ProgressMessage
from flightsrv.wire.flight_data import Rows
from udtf.arrow.plain_arrays import converted, without_rows
from udtf.arrow.plain_types import has_dictionaries, without_dictionaries
from udtf.execution.cancellation import QueryCancelled

MAX_BATCH_BYTES = 2 << 20
"""Clients refuse messages of more than 4 MiB or 16 MiB, depending on their gRPC library; this leaves room for framing
and for what a client's own limit counts besides."""

MAX_SUMMARY_FAILURES = 100


def stream_schema(answer: Answer) -> pa.Schema:
    """The schema that the client of an answer gets."""
    return sent_schema(answer.schema, preserve_dictionary=answer.preserve_dictionary)


def sent_schema(schema: pa.Schema, *, preserve_dictionary: bool) -> pa.Schema:
    """The schema as a client gets it: plain columns for dictionaries, unless it asked to keep them."""
    if preserve_dictionary:
        return schema
    return pa.schema([field.with_type(without_dictionaries(field.type)) for field in schema], schema.metadata)


def stream(call: Call, answer: Answer) -> Generator[Rows, None, None]:
    """Make the rows of an answer. Closing it stops the work.

    The record batches have `stream_schema(answer)`. For a caller who asked for progress, messages of the plan travel
    between them, or while there are none, as zero-row batches with JSON metadata; the last one, of type `summary`,
    counts rows and bytes and repeats what failed. (Not where dictionaries are kept: they would have to go before each
    message.)
    """
    schema = stream_schema(answer)
    keeps_dictionaries = any(map(has_dictionaries, schema.types))
    progress = _Progress(call, schema) if call.options.progress and not keeps_dictionaries else None
    call.admit()
    with closing(answer.batches(call.is_cancelled)) as batches:
        for batch in batches:
            call.watch_memory()
            if progress:
                yield from progress.pending()
            if not batch.num_rows:
                continue
            for part in _slices(_with_schema(batch, schema)):
                # A plan that never waits never asks.
                if call.is_cancelled():
                    raise QueryCancelled("the query was cancelled")
                call.count(part.num_rows, part.nbytes)
                yield part
    if progress:
        yield from progress.pending()
        yield progress.summary()
    call.succeed()


class _Progress:
    """Messages of a plan as items of a stream."""

    def __init__(self, call: Call, schema: pa.Schema) -> None:
        self._call = call
        self._no_rows = without_rows(schema)
        self._failures: list[ProgressMessage] = []

    def pending(self) -> Iterator[Rows]:
        """What came since the last time."""
        for message in self._call.pending_messages():
            if str(message.get("type", "")).endswith("_failed"):
                self._failures.append(message)
            yield self._item(message)

    def summary(self) -> Rows:
        """What there is to say at the end."""
        return self._item(
            {
                "type": "summary",
                "query_id": self._call.query_id,
                "rows": self._call.rows,
                "bytes": self._call.size_bytes,
                "failures": self._failures[:MAX_SUMMARY_FAILURES],
                "failure_count": len(self._failures),
            }
        )

    def _item(self, message: ProgressMessage) -> Rows:
        return self._no_rows, json.dumps(message).encode()


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [converted(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of a batch in batches whose messages have at most MAX_BATCH_BYTES, unless one value is larger."""
    if _largest_message_bytes(batch) > MAX_BATCH_BYTES:
        batch = pa.RecordBatch.from_arrays([_without_unused_values(column) for column in batch], schema=batch.schema)
    if batch.num_rows <= 1 or _largest_message_bytes(batch) <= MAX_BATCH_BYTES:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _slices(batch.slice(0, middle))
    yield from _slices(batch.slice(middle))


def _largest_message_bytes(batch: pa.RecordBatch) -> int:
    """Dictionaries travel in messages of their own."""
    sizes = [column.dictionary.nbytes for column in batch if pa.types.is_dictionary(column.type)]
    largest: int = max(pa.ipc.get_record_batch_size(batch), *sizes, 0)
    return largest


def _without_unused_values(column: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return column
    used = column.indices.unique().drop_null()
    indices = pc.index_in(column.indices, used).cast(column.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, column.dictionary.take(used), ordered=column.type.ordered)
