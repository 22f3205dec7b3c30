"""A sender of telemetry that is not our tracing library: two threads of spans, with pyarrow and any Flight SQL client.

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
streams = [f"{process_id}-{name}" for name in ("main", "worker")]
scopes = pa.array(
    [
        {"name": "request", "target": "app", "filename": "app.py", "line": 10},
        {"name": "query", "target": "app.db", "filename": "db.py", "line": 20},
    ],
    SCOPE,
)

# Both threads: request begins, query begins, query ends, request ends. Ticks are nanoseconds since the start.
ticks = [0, 1_000_000, 4_000_000, 5_000_000, 2_000_000, 2_500_000, 3_500_000, 9_000_000]
kinds = [BEGIN, BEGIN, END, END] * 2
codes = pa.array([0, 1, 1, 0] * 2, pa.int32())
events = pa.StructArray.from_arrays(
    [pa.array(ticks, pa.int64()), pa.array(kinds, pa.uint8()), pa.DictionaryArray.from_arrays(codes, scopes)],
    names=["ticks", "kind", "scope"],
)
blocks = pa.record_batch(
    {
        "stream_id": streams,
        "object_offset": [0, 0],  # the first events of both streams
        "thread_events": pa.ListArray.from_arrays([0, 4, 8], events),  # four events each
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
    properties = [[("thread-name", "main")], [("thread-name", "worker")]]
    client.ingest(
        "streams",
        pa.record_batch(
            {
                "stream_id": streams,
                "process_id": [process_id] * 2,
                "tags": [["thread"]] * 2,
                "properties": pa.array(properties, pa.map_(pa.utf8(), pa.utf8())),
            }
        ),
    )
    client.ingest("blocks", blocks)
print(process_id)
