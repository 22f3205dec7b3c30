"""A sender of telemetry that is not our tracing library: two threads of spans with attributes, the log of one of them,
and a counter, with pyarrow and any Flight SQL client.

Prints the id of the process: `flightsrv trace "$(python examples/sender.py)" -o sender.pftrace`.
"""

import os
import time
import uuid

import pyarrow as pa

from flightsrv.client import connect

SCOPE = pa.struct(
    [
        pa.field("name", pa.utf8(), nullable=False),
        pa.field("target", pa.utf8(), nullable=False),
        pa.field("filename", pa.utf8(), nullable=False),
        pa.field("line", pa.uint32(), nullable=False),
    ]
)
BEGIN, END = 0, 1

process_id = str(uuid.uuid4())
threads = [f"{process_id}-{name}" for name in ("main", "worker")]
log, counters = f"{process_id}-log", f"{process_id}-counters"
scopes = pa.array(
    [
        {"name": "request", "target": "app", "filename": "app.py", "line": 10},
        {"name": "query", "target": "app.db", "filename": "db.py", "line": 20},
        {"name": "connections", "target": "app.db", "filename": "db.py", "line": 5},
    ],
    SCOPE,
)

# Both threads: request begins, query begins, query ends, request ends. Ticks are nanoseconds since the start.
ticks = [0, 1_000_000, 4_000_000, 5_000_000, 2_000_000, 2_500_000, 3_500_000, 9_000_000]
kinds = [BEGIN, BEGIN, END, END] * 2
codes = pa.array([0, 1, 1, 0] * 2, pa.int32())
# What is known of spans, at their begins or at their ends; numbers and more go as lists of structs.
trace_id = ("trace_id", "5b8efff798038103d269b633813fc60c")
attributes = [
    *([("path", "/orders"), trace_id], [trace_id], None, [("status", "200")]),
    *(
        [("path", "/users"), trace_id],
        None,
        [("error", "true"), ("error.message", "no such user")],
        [("status", "500")],
    ),
]
events = pa.StructArray.from_arrays(
    [
        pa.array(ticks, pa.int64()),
        pa.array(kinds, pa.uint8()),
        pa.DictionaryArray.from_arrays(codes, scopes),
        pa.array(attributes, pa.map_(pa.utf8(), pa.utf8())),
    ],
    names=["ticks", "kind", "scope", "attributes"],
)
lines = pa.StructArray.from_arrays(
    [
        pa.array([1_500_000, 4_500_000], pa.int64()),
        pa.array([3, 4], pa.uint8()),  # info, warn
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), scopes),
        pa.array(["3 rows", "a slow request"]),
    ],
    names=["ticks", "level", "scope", "msg"],
)
values = pa.StructArray.from_arrays(
    [
        pa.array([0, 1_000_000, 9_000_000], pa.int64()),
        pa.DictionaryArray.from_arrays(pa.array([2, 2, 2], pa.int32()), scopes),
        pa.array(["", "", ""]),  # it has no unit
        pa.array([0.0, 2.0, 1.0]),
    ],
    names=["ticks", "scope", "unit", "value"],
)
# Each block has its events in the column of its kind, and null in the others.
blocks = pa.record_batch(
    {
        "stream_id": [*threads, log, counters],
        "object_offset": [0] * 4,  # the first events of each stream
        "thread_events": pa.ListArray.from_arrays(pa.array([0, 4, None, None, 8]), events),
        "log_entries": pa.ListArray.from_arrays(pa.array([None, None, 0, None, 2]), lines),
        "measures": pa.ListArray.from_arrays(pa.array([None, None, None, 0, 3]), values),
    }
)

with connect(os.environ.get("FLIGHTSRV_URL", "grpc://127.0.0.1:50051")) as client:
    client.ingest(
        "processes",
        pa.record_batch(
            {
                "process_id": [process_id],
                "exe": ["sender.py"],
                "tsc_frequency": [1_000_000_000],
                "start_time": pa.array([time.time_ns()], pa.timestamp("ns", "UTC")),
                "start_ticks": [0],
            }
        ),
    )
    properties = [
        [("thread-name", "main")],
        [("thread-name", "worker")],
        [("thread-name", "main"), ("thread-stream-id", threads[0])],
        [],  # the counters are those of the process
    ]
    client.ingest(
        "streams",
        pa.record_batch(
            {
                "stream_id": [*threads, log, counters],
                "process_id": [process_id] * 4,
                "tags": [["thread"], ["thread"], ["log"], ["measure"]],
                "properties": pa.array(properties, pa.map_(pa.utf8(), pa.utf8())),
            }
        ),
    )
    client.ingest("blocks", blocks)
print(process_id)
