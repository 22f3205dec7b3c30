"""Descriptions of processes and of streams, as they come in."""

import time

import pyarrow as pa

from udtf.errors import InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.block_format import FORMAT
from udtf.lake.clock import MAX_FREQUENCY
from udtf.lake.ingestion.columns import check_id, rows_of
from udtf.lake.metadata import MetadataStore, ProcessRow, StreamRow
from udtf.views.catalog import KINDS


def ingest_processes(metadata: MetadataStore, batch: pa.RecordBatch) -> None:
    """Store the rows of a batch of `processes`; raises InvalidTelemetry."""
    now = time.time_ns()
    rows = []
    for values in rows_of(batch, schemas.PROCESSES, ("process_id", "tsc_frequency", "start_time", "start_ticks")):
        check_id("process_id", values["process_id"])
        if not 0 < values["tsc_frequency"] <= MAX_FREQUENCY:
            raise InvalidTelemetry(
                f"process {values['process_id']!r} has tsc_frequency {values['tsc_frequency']}, "
                f"expected 1 to {MAX_FREQUENCY} ticks per second"
            )
        if values["start_time"] < 0:
            raise InvalidTelemetry(
                f"process {values['process_id']!r} has start_time {values['start_time']} ns, expected 1970 or later"
            )
        described = {name: value for name, value in values.items() if name not in schemas.PROCESS_HISTORY}
        rows.append(ProcessRow(**described | {"insert_time": now, "update_time": now}))
    metadata.put_processes(rows)


def ingest_streams(metadata: MetadataStore, batch: pa.RecordBatch) -> None:
    """Store the rows of a batch of `streams`; raises InvalidTelemetry."""
    now = time.time_ns()
    tags = tuple(kind.tag for kind in KINDS)
    rows: list[StreamRow] = []
    for values in rows_of(batch, schemas.STREAMS, ("stream_id", "process_id", "tags")):
        stream_id = values["stream_id"]
        check_id("stream_id", stream_id)
        if sum(tag in values["tags"] for tag in tags) != 1:
            raise InvalidTelemetry(
                f"stream {stream_id!r} has tags {values['tags']}, "
                f"expected one of {' and '.join(map(repr, tags))} among them"
            )
        if values["format"] not in (None, FORMAT):
            raise InvalidTelemetry(f"stream {stream_id!r} has format {values['format']!r}, expected {FORMAT}")
        # A nanosecond apart, so that streams keep the order in which they were sent.
        insert_time = now + len(rows)
        times = {"insert_time": insert_time, "last_update_time": insert_time}
        rows.append(StreamRow(**values | times | {"format": FORMAT}))
    known = metadata.known_process_ids({row.process_id for row in rows})
    for row in rows:
        if row.process_id not in known:
            raise InvalidTelemetry(
                f"stream {row.stream_id!r} belongs to process {row.process_id!r}, which is unknown: send it first"
            )
    metadata.put_streams(rows)
