"""What a ledger says was recorded, as the plain values of the reference model."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from flightsrv.demo.ledger import read_ledger
from tests.model.telemetry import Block, Event, Process, Scope, Stream

Row = dict[str, Any]


def read_recorded(ledger: Path) -> tuple[Process, list[Block]]:
    """The process of a ledger with its streams, each whole, and the blocks that they were sent in."""
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    keys = {"processes": "{process_id}", "streams": "{stream_id}", "blocks": "{stream_id}:{object_offset}"}
    for table, batch in read_ledger(ledger):
        for row in batch.to_pylist():
            rows[table][keys[table].format(**row)] = row  # sent again, a row is renewed
    blocks_of = defaultdict(list)
    for row in sorted(rows["blocks"].values(), key=lambda row: row["object_offset"]):
        blocks_of[row["stream_id"]].append((row, _events(row["thread_events"] or row["async_events"])))
    streams = [_stream(row, blocks_of[row["stream_id"]]) for row in rows["streams"].values()]
    (process,) = rows["processes"].values()
    return (
        Process(
            process["process_id"],
            process["tsc_frequency"],
            pa.scalar(process["start_time"], pa.timestamp("ns", "UTC")).value,
            process["start_ticks"],
            tuple(streams),
        ),
        [
            Block(f"{stream.stream_id}:{row['object_offset']}", stream, row["object_offset"], events)
            for stream in streams
            for row, events in blocks_of[stream.stream_id]
        ],
    )


def _stream(row: Row, blocks: list[tuple[Row, tuple[Event, ...]]]) -> Stream:
    properties = dict(row["properties"])
    return Stream(
        row["stream_id"],
        row["tags"] == ["async"],
        properties["thread-name"],
        int(properties["thread-id"]),
        tuple(event for _, events in blocks for event in events),
    )


def _events(rows: list[Row]) -> tuple[Event, ...]:
    return tuple(
        Event(
            row["ticks"],
            row["kind"],
            Scope(**row["scope"]),
            row.get("span_id", 0),
            row.get("parent_span_id", 0),
            row.get("depth", 0),
        )
        for row in rows
    )
