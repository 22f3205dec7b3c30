"""Tables `processes`, `streams` and `blocks`: what the metadata database holds, as Arrow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from udtf.functions.table_function import Rows
from udtf.lake import schemas
from udtf.lake.lake import Lake


def telemetry_tables(lake: Lake) -> dict[str, Rows]:
    """The three tables by name."""
    scans: dict[str, tuple[pa.Schema, Callable[[], Iterator[list[Any]]]]] = {
        "processes": (schemas.PROCESSES, lake.metadata.scan_processes),
        "streams": (schemas.STREAMS, lake.metadata.scan_streams),
        "blocks": (schemas.BLOCKS, lake.metadata.scan_blocks),
    }
    return {name: Rows(schema, _batches(schema, scan)) for name, (schema, scan) in scans.items()}


def rows_to_batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Metadata rows, objects with an attribute per column, as a record batch."""
    columns = []
    for field in schema:
        values = [getattr(row, field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [sorted(value.items()) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.record_batch(columns, schema=schema)


def _batches(schema: pa.Schema, scan: Callable[[], Iterator[list[Any]]]) -> Callable[[], Iterator[pa.RecordBatch]]:
    return lambda: (rows_to_batch(rows, schema) for rows in scan())
