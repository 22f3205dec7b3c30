"""Tables `processes`, `streams` and `blocks`: what the metadata database holds, as Arrow."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from udtf.functions.table_function import Rows
from udtf.lake import schemas
from udtf.lake.clock import Clock
from udtf.lake.ingestion.open_history import block_rows
from udtf.lake.lake import Lake
from udtf.lake.metadata import HistoryRow, ProcessRow, SegmentRow
from udtf.views.spans import timestamps


def telemetry_tables(lake: Lake) -> dict[str, Rows]:
    """The three tables by name."""
    return {
        "processes": Rows(schemas.PROCESSES, lambda: map(_processes, lake.metadata.scan_processes())),
        "streams": Rows(
            schemas.STREAMS, lambda: (rows_to_batch(rows, schemas.STREAMS) for rows in lake.metadata.scan_streams())
        ),
        "blocks": Rows(schemas.BLOCKS, lambda: _blocks(lake)),
    }


def _processes(rows: Sequence[tuple[ProcessRow, HistoryRow]]) -> pa.RecordBatch:
    described = schemas.PROCESSES.remove(schemas.PROCESSES.get_field_index("last_update_time"))
    batch = rows_to_batch([process for process, _ in rows], described)
    updated = [max(process.update_time, history.update_time) for process, history in rows]
    last_update_time = pa.array(updated, schemas.TIMESTAMP)
    return pa.record_batch([*batch.columns, last_update_time], schema=schemas.PROCESSES)


def _blocks(lake: Lake) -> Iterator[pa.RecordBatch]:
    clocks: dict[str, Clock] = {}
    for segments in lake.metadata.scan_segments():
        for segment in segments:
            if segment.process_id not in clocks:
                clocks[segment.process_id] = lake.metadata.process(segment.process_id).clock
            for blocks in block_rows(segment).values():
                yield _block_batch(segment, blocks, clocks[segment.process_id])


def _block_batch(segment: SegmentRow, blocks: pa.Table, clock: Clock) -> pa.RecordBatch:
    """The blocks of one kind that a segment has."""
    columns = {
        "block_id": blocks["block_id"],
        "stream_id": blocks["stream_id"],
        "process_id": pa.repeat(pa.scalar(segment.process_id), len(blocks)),
        "begin_time": timestamps(clock.to_ns(blocks["begin_ticks"].to_numpy())),
        "begin_ticks": blocks["begin_ticks"],
        "end_time": timestamps(clock.to_ns(blocks["end_ticks"].to_numpy())),
        "end_ticks": blocks["end_ticks"],
        "nb_objects": blocks["nb_events"],
        "object_offset": blocks["first"],
        "payload_size": blocks["payload_bytes"],
        "insert_time": pa.repeat(pa.scalar(segment.insert_time, schemas.TIMESTAMP), len(blocks)),
    }
    table = pa.table(columns).select(schemas.BLOCKS.names).cast(schemas.BLOCKS).combine_chunks()
    return table.to_batches()[0]


def rows_to_batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Metadata rows, objects with an attribute per column, as a record batch."""
    columns = []
    for field in schema:
        values = [getattr(row, field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [sorted(value.items()) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.record_batch(columns, schema=schema)
