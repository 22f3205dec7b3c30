"""Table `blocks`: the blocks of all segments, each beside its stream and its process.

Columns of streams and processes are named as in `"streams.tags"`; they are made only for a statement that wants them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udtf.errors import CorruptData, NotFound, Removed
from udtf.functions.table_function import Rows, rows_to_batch, shown_streams
from udtf.lake import schemas
from udtf.lake.ingestion.open_history import block_rows
from udtf.lake.lake import Lake
from udtf.lake.metadata import ProcessRow, SegmentRow, StreamRow
from udtf.views.spans import timestamps

_OF_STREAMS = ("tags", "properties", "format", "insert_time")
_OF_PROCESSES = (
    "exe",
    "username",
    "realname",
    "computer",
    "distro",
    "cpu_brand",
    "tsc_frequency",
    "start_time",
    "start_ticks",
    "insert_time",
    "parent_process_id",
    "properties",
)


def _joined(table: str, schema: pa.Schema, names: Collection[str]) -> list[pa.Field]:
    return [schema.field(name).with_name(f"{table}.{name}") for name in names]


COLUMNS = pa.schema(
    [
        *schemas.BLOCKS,
        *_joined("streams", schemas.STREAMS, _OF_STREAMS),
        *_joined("processes", schemas.PROCESSES, _OF_PROCESSES),
    ]
)


def blocks_table(lake: Lake) -> Rows:
    """The table of a lake."""
    return Rows(
        COLUMNS,
        lambda: _batches(lake, frozenset(COLUMNS.names)),
        lambda wanted: _batches(lake, frozenset(wanted)),
    )


def _batches(lake: Lake, wanted: frozenset[str]) -> Iterator[pa.RecordBatch]:
    for scanned in lake.metadata.scan_segments():
        process_ids = {segment.process_id for segment in scanned}
        processes = lake.metadata.processes_of_ids(process_ids)
        _check_removed(lake, process_ids - processes.keys())
        segments = [segment for segment in scanned if segment.process_id in processes]
        if not segments:
            continue
        batch = _of_segments(segments, processes)
        if names := [name for name in COLUMNS.names if name.startswith("streams.") and name in wanted]:
            key = batch.column("stream_id").dictionary_encode()
            stream_ids = key.dictionary.to_pylist()
            streams = lake.metadata.streams_of_ids(stream_ids)
            if missing := set(stream_ids) - streams.keys():
                rows_without = pc.is_in(batch.column("stream_id"), pa.array(sorted(missing)))
                _check_removed(lake, batch.column("process_id").filter(rows_without).unique().to_pylist())
                raise Removed("telemetry has been removed while its blocks were read; ask again")
            rows = shown_streams([streams[stream_id] for stream_id in stream_ids])
            batch = _with_columns(batch, names, schemas.STREAMS, rows, key)
        if names := [name for name in COLUMNS.names if name.startswith("processes.") and name in wanted]:
            key = batch.column("process_id").dictionary_encode()
            batch = _with_columns(
                batch, names, schemas.PROCESSES, [processes[one] for one in key.dictionary.to_pylist()], key
            )
        yield batch


def _check_removed(lake: Lake, process_ids: Collection[str]) -> None:
    """Raises CorruptData if a process whose rows were not all found has not been removed."""
    for process_id in process_ids:
        with suppress(NotFound):
            lake.metadata.history(process_id)
            raise CorruptData(f"the metadata lacks rows of process {process_id}")


def _of_segments(segments: Sequence[SegmentRow], processes: Mapping[str, ProcessRow]) -> pa.RecordBatch:
    """The blocks of some segments, with the columns of `schemas.BLOCKS`."""
    tables = [(segment, table) for segment in segments for table in block_rows(segment).values()]
    counts = [len(table) for _, table in tables]
    blocks = pa.concat_tables([table for _, table in tables]).combine_chunks()
    numbers = pa.array(np.repeat(np.arange(len(tables)), counts))

    def times(name: str) -> pa.Array:
        return timestamps(
            np.concatenate(
                [processes[segment.process_id].clock.to_ns(table[name].to_numpy()) for segment, table in tables]
            )
        )

    columns = {
        "block_id": blocks["block_id"],
        "stream_id": blocks["stream_id"],
        "process_id": pa.array([segment.process_id for segment, _ in tables]).take(numbers),
        "begin_time": times("begin_ticks"),
        "begin_ticks": blocks["begin_ticks"],
        "end_time": times("end_ticks"),
        "end_ticks": blocks["end_ticks"],
        "nb_objects": blocks["nb_events"],
        "object_offset": blocks["first"],
        "payload_size": blocks["payload_bytes"],
        "insert_time": pa.array([segment.insert_time for segment, _ in tables], schemas.TIMESTAMP).take(numbers),
    }
    table = pa.table(columns).select(schemas.BLOCKS.names).cast(schemas.BLOCKS).combine_chunks()
    return table.to_batches()[0]


def _with_columns(
    batch: pa.RecordBatch,
    names: Sequence[str],
    schema: pa.Schema,
    rows: Sequence[StreamRow | ProcessRow],
    key: pa.DictionaryArray,
) -> pa.RecordBatch:
    """More columns, of the rows that the key names by code."""
    fields = [schema.field(name.partition(".")[2]) for name in names]
    joined = rows_to_batch(rows, pa.schema(fields)).take(key.indices)
    columns = [*batch.columns, *joined.columns]
    return pa.record_batch(columns, schema=pa.schema([*batch.schema, *(COLUMNS.field(name) for name in names)]))
