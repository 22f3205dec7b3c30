"""What a ledger says was recorded, as the plain values of the reference model."""

import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from flightsrv.demo.ledger import read_ledger
from tests.model.telemetry import (
    Attributes,
    Block,
    Event,
    Json,
    LogLine,
    MomentStream,
    Process,
    Scope,
    Stream,
    Value,
)

Row = dict[str, Any]
Blocks = list[tuple[Row, tuple[Any, ...]]]


def read_recorded(ledger: Path) -> tuple[Process, list[Block]]:
    """The process of a ledger with its streams, each whole, and the blocks that they were sent in."""
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    keys = {"processes": "{process_id}", "streams": "{stream_id}", "blocks": "{stream_id}:{object_offset}"}
    for table, batch in read_ledger(ledger):
        for row in batch.to_pylist():
            rows[table][keys[table].format(**row)] = row  # sent again, a row is renewed
    blocks_of = defaultdict(list)
    for row in sorted(rows["blocks"].values(), key=lambda row: row["object_offset"]):
        blocks_of[row["stream_id"]].append((row, _events(row)))
    streams = {
        row["stream_id"]: _stream(row, blocks_of[row["stream_id"]])
        for row in rows["streams"].values()
        if row["tags"] in (["thread"], ["async"])
    }
    for row in rows["streams"].values():
        if row["stream_id"] not in streams:
            streams[row["stream_id"]] = _moment_stream(row, blocks_of[row["stream_id"]], streams)
    (process,) = rows["processes"].values()
    return (
        Process(
            process["process_id"],
            process["tsc_frequency"],
            pa.scalar(process["start_time"], pa.timestamp("ns", "UTC")).value,
            process["start_ticks"],
            tuple(streams.values()),
        ),
        [
            Block(f"{stream.stream_id}:{row['object_offset']}", stream, row["object_offset"], events)
            for stream in streams.values()
            for row, events in blocks_of[stream.stream_id]
        ],
    )


def _stream(row: Row, blocks: Blocks) -> Stream:
    properties = dict(row["properties"])
    return Stream(
        row["stream_id"],
        row["tags"] == ["async"],
        properties["thread-name"],
        int(properties["thread-id"]),
        tuple(event for _, events in blocks for event in events),
    )


def _moment_stream(row: Row, blocks: Blocks, streams: dict[str, Stream]) -> MomentStream:
    """Of a log, or of counters, with its thread."""
    thread = streams.get(dict(row["properties"]).get("thread-stream-id", ""))
    moments = tuple(moment for _, events in blocks for moment in events)
    return MomentStream(row["stream_id"], False, "", 0, moments, row["tags"][0], thread)


def _events(block: Row) -> tuple[Any, ...]:
    if block["log_entries"]:
        return tuple(
            LogLine(row["ticks"], Scope(**row["scope"]), row["level"], row["msg"], _attributes(row))
            for row in block["log_entries"]
        )
    if block["measures"]:
        return tuple(Value(row["ticks"], Scope(**row["scope"]), row["unit"], row["value"]) for row in block["measures"])
    return tuple(
        Event(
            row["ticks"],
            row["kind"],
            Scope(**row["scope"]),
            row.get("span_id", 0),
            row.get("parent_span_id", 0),
            row.get("depth", 0),
            _attributes(row),
        )
        for row in block["thread_events"] or block["async_events"]
    )


def _attributes(row: Row) -> Attributes:
    """Those of an event, read as `udtf/lake/attributes.py` describes them."""
    data, position, found = row.get("attributes", b""), 0, []
    while position < len(data):
        size, kind = data[position : position + 2]
        key = data[position + 2 : position + 2 + size].decode()
        position += 2 + size
        if kind in (0, 4):
            (length,) = struct.unpack_from("<H", data, position)
            text = data[position + 2 : position + 2 + length].decode()
            found.append((key, Json(text) if kind == 4 else text))
            position += 2 + length
        else:
            format_ = {1: "<q", 2: "<d", 3: "<?"}[kind]
            found.append((key, *struct.unpack_from(format_, data, position)))
            position += struct.calcsize(format_)
    return tuple(found)
