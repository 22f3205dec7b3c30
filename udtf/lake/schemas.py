"""Arrow schemas of the three telemetry tables, as SQL shows them and as ingestion takes them.

`blocks` is ingested with one more column, `payload`, and shown without it.
"""

import pyarrow as pa

TIMESTAMP = pa.timestamp("ns", "UTC")
PROPERTIES = pa.map_(pa.utf8(), pa.utf8())

PROCESSES = pa.schema(
    [
        pa.field("process_id", pa.utf8(), nullable=False),
        pa.field("exe", pa.utf8()),
        pa.field("username", pa.utf8()),
        pa.field("realname", pa.utf8()),
        pa.field("computer", pa.utf8()),
        pa.field("distro", pa.utf8()),
        pa.field("cpu_brand", pa.utf8()),
        pa.field("tsc_frequency", pa.int64(), nullable=False),  # ticks per second
        pa.field("start_time", TIMESTAMP, nullable=False),
        pa.field("start_ticks", pa.int64(), nullable=False),
        pa.field("insert_time", TIMESTAMP, nullable=False),
        pa.field("parent_process_id", pa.utf8()),
        pa.field("properties", PROPERTIES, nullable=False),
        pa.field("last_update_time", TIMESTAMP, nullable=False),
    ]
)

STREAMS = pa.schema(
    [
        pa.field("stream_id", pa.utf8(), nullable=False),
        pa.field("process_id", pa.utf8(), nullable=False),
        pa.field("tags", pa.list_(pa.utf8()), nullable=False),
        pa.field("properties", PROPERTIES, nullable=False),
        pa.field("format", pa.utf8(), nullable=False),
        pa.field("insert_time", TIMESTAMP, nullable=False),
        pa.field("last_update_time", TIMESTAMP, nullable=False),
    ]
)

BLOCKS = pa.schema(
    [
        pa.field("block_id", pa.utf8(), nullable=False),
        pa.field("stream_id", pa.utf8(), nullable=False),
        pa.field("process_id", pa.utf8(), nullable=False),
        pa.field("begin_time", TIMESTAMP, nullable=False),
        pa.field("begin_ticks", pa.int64(), nullable=False),
        pa.field("end_time", TIMESTAMP, nullable=False),
        pa.field("end_ticks", pa.int64(), nullable=False),
        pa.field("nb_objects", pa.int64(), nullable=False),
        pa.field("object_offset", pa.int64(), nullable=False),
        pa.field("payload_size", pa.int64(), nullable=False),
        pa.field("insert_time", TIMESTAMP, nullable=False),
    ]
)

SCOPE = pa.struct(
    [
        pa.field("name", pa.utf8(), nullable=False),
        pa.field("target", pa.utf8(), nullable=False),
        pa.field("filename", pa.utf8(), nullable=False),
        pa.field("line", pa.uint32(), nullable=False),
    ]
)
"""Where an event comes from in the source: name, module, file and line."""

THREAD_TAG = "thread"
"""Tag of a stream that holds the ordered begin and end events of one thread."""
ASYNC_TAG = "async"
"""Tag of a stream that holds begin and end events of spans that may overlap."""
