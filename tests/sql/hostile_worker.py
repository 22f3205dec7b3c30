"""A worker that an attacker has taken over: it does whatever the statement names."""

import json
import pickle
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from udtf.sql.conditions import MAX_DEPTH
from udtf.sql.messages import Ended, Failed, Plan, Planned, Rows, Run, batch_bytes, decode_request, encode
from udtf.workers.channel import Channel

SCHEMA = pa.schema([("n", pa.int64())])
TEXT = pa.schema([("text", pa.utf8())])
NONE = pa.schema([])
HONEST = "honest"
FOREVER = 3600.0


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self._path),)


def head(kind: str, **message: object) -> bytes:
    """The JSON of a reply."""
    return json.dumps({"type": kind, "message": message}).encode()


def nested(depth: int) -> list[Any]:
    """A condition that is nested so deeply."""
    tree: list[Any] = ["field", "process_id"]
    for _ in range(depth):
        tree = ["invert", tree]
    return tree


def scan(key: object = "processes", columns: object = ("process_id",), tree: object = None) -> dict[str, object]:
    """A scan, of whatever types."""
    return {"key": key, "columns": columns, "filter": None if tree is None else {"tree": tree}}


def broken_text() -> pa.RecordBatch:
    """Text whose offsets point behind its bytes."""
    offsets = pa.py_buffer(struct.pack("<3i", 0, 1 << 30, 1))
    return pa.record_batch([pa.Array.from_buffers(pa.utf8(), 2, [None, offsets, pa.py_buffer(b"x")])], schema=TEXT)


def compressed_zeros() -> pa.Buffer:
    """Rows that take a thousand times as much memory as they have bytes."""
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([pa.array([0]).take(pa.array([0] * (64 << 20), pa.int64()))], schema=SCHEMA)
    with pa.ipc.new_stream(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


WHILE_PLANNING: Mapping[str, list[bytes | pa.Buffer]] = {
    "no parts": [],
    "no JSON": [b"\xff\xfe"],
    "a pickle": [pickle.dumps(Touch("/tmp/never"))],
    "deep JSON": [b'{"type": "Failed", "message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
    "long JSON": [b'"' + b" " * (8 << 20) + b'"'],
    "a list": [b"[]"],
    "an unknown type": [head("Greeting", catalog={}, limits={})],
    "too early an end": [head("Ended")],
    "a reason that is none": [head("Failed", why="because", message="")],
    "a message that is no text": [head("Failed", why="panic", message=["a"])],
    "no schema": [head("Planned", schema=1, parameters=1, scan=None), b"no schema"],
    "a part that is not there": [head("Planned", schema=7, parameters=1, scan=None), SCHEMA.serialize()],
    "a part by a fraction": [head("Planned", schema=1.0, parameters=1, scan=None), SCHEMA.serialize()],
    "types that no client is sent": [
        head("Planned", schema=1, parameters=1, scan=None),
        pa.schema([("n", pa.uint64())]).serialize(),
    ],
    "an unknown function": [head("TableWanted", function="exec", values={})],
    "a function of administrators": [head("TableWanted", function="query_log", values={})],
    "an argument of another type": [head("TableWanted", function="process_spans", values={"process_id": 1})],
    "an argument that is a list": [head("TableWanted", function="process_spans", values={"process_id": ["p"]})],
    "an argument that it does not take": [head("TableWanted", function="list_view_sets", values={"path": "/"})],
    "a scan while it plans": [head("ScanWanted", scan=scan())],
    "a bare scan of no table": [head("Planned", schema=1, parameters=1, scan=scan("passwords")), SCHEMA.serialize()],
    "a bare scan of no column": [
        head("Planned", schema=1, parameters=1, scan=scan(columns=["secret"])),
        SCHEMA.serialize(),
    ],
    "a bare scan of other columns": [
        head("Planned", schema=1, parameters=1, scan=scan(columns=["process_id", "exe"])),
        SCHEMA.serialize(),
    ],
}
"""By name: what is sent in place of a plan."""

WHILE_RUNNING: Mapping[str, list[bytes | pa.Buffer]] = {
    "a plan while it runs": [head("Planned", schema=1, parameters=1, scan=None), SCHEMA.serialize()],
    "rows of other types": [head("Rows", batch=1), batch_bytes(pa.record_batch({"n": ["text"]}))],
    "no rows": [head("Rows", batch=1), b"no rows"],
    "rows that point elsewhere": [head("Rows", batch=1), batch_bytes(broken_text())],
    "rows that are a schema": [head("Rows", batch=1), SCHEMA.serialize()],
    "a scan of no table": [head("ScanWanted", scan=scan("passwords"))],
    "a scan of a list": [head("ScanWanted", scan=scan([]))],
    "a scan of a number": [head("ScanWanted", scan=scan(True))],
    "a scan of no column": [head("ScanWanted", scan=scan(columns=[1]))],
    "a deep condition": [head("ScanWanted", scan=scan(tree=nested(MAX_DEPTH)))],
    "operands that are text": [head("ScanWanted", scan=scan(tree=["invert", "invert"]))],
    "an operator that is none": [head("ScanWanted", scan=scan(tree=["__import__", ["field", "os"]]))],
    "an operator without operands": [head("ScanWanted", scan=scan(tree=["eq"]))],
    "a constant that is none": [head("ScanWanted", scan=scan(tree=["constant", 1])), b"no rows"],
}


def many_calls(channel: Channel) -> None:
    """Plans without end."""
    while True:
        channel.send(head("TableWanted", function="list_view_sets", values={}))
        channel.receive(1 << 30)


def many_scans(channel: Channel) -> None:
    """Reads without end, and reads nothing."""
    sockets = []
    while True:
        channel.send(head("ScanWanted", scan=scan()))
        sockets.append(channel.receive_socket())


def half_a_message(channel: Channel) -> None:
    """Begins, and never goes on."""
    channel._end.sendall(struct.pack("<IQ", 1, 1 << 20) + b"{")
    time.sleep(FOREVER)


def zeros(channel: Channel) -> None:
    """Sends little that is much."""
    channel.send(head("Rows", batch=1), compressed_zeros())


CALLS: Mapping[str, Callable[[Channel], None]] = {"many calls": many_calls}
RUNS: Mapping[str, Callable[[Channel], None]] = {
    "many scans": many_scans,
    "compressed zeros": zeros,
    "half a message": half_a_message,
}


def work(channel: Channel) -> None:
    """Serve an engine, or rather not."""
    channel.receive(1 << 30)
    while True:
        request = decode_request(channel.receive(1 << 30))
        if isinstance(request, Plan):
            statement = str(request.statement)
            if statement in WHILE_PLANNING:
                parts = WHILE_PLANNING[statement]
                channel.send(*parts)
                if parts and b"TableWanted" in bytes(parts[0]):
                    channel.receive(1 << 30)
                    channel.send(*encode(Failed("statement", "a table was refused")))
            elif statement in CALLS:
                CALLS[statement](channel)
            else:
                schema = TEXT if statement == "rows that point elsewhere" else SCHEMA
                channel.send(*encode(Planned(schema, NONE, None)))
        elif isinstance(request, Run):
            if statement in WHILE_RUNNING:
                channel.send(*WHILE_RUNNING[statement])
                # What a scan does wrong shows when there are rows.
                channel.send(*encode(Rows(pa.record_batch({"n": [1]}, SCHEMA))))
                channel.send(*encode(Ended()))
                time.sleep(FOREVER)
            elif statement in RUNS:
                RUNS[statement](channel)
            else:
                channel.send(*encode(Rows(pa.record_batch({"n": [1, 2]}, SCHEMA))))
                channel.send(*encode(Ended()))
