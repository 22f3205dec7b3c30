"""Arrow schemas of the three telemetry tables, as SQL shows them and as ingestion takes them.

`blocks` is ingested with one more column, a list of the block's events, and shown without it.
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
        pa.field("last_block_end_ticks", pa.int64()),
        pa.field("last_block_end_time", TIMESTAMP),
    ]
)

PROCESS_HISTORY = ("last_update_time", "last_block_end_ticks", "last_block_end_time")
"""Columns of `processes` that follow from what has been stored of each."""

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

THREAD_EVENT = pa.struct(
    [
        pa.field("ticks", pa.int64(), nullable=False),  # of the process's clock; never decreasing in a stream
        pa.field("kind", pa.uint8(), nullable=False),  # 0 begin, 1 end
        pa.field("scope", pa.dictionary(pa.int32(), SCOPE), nullable=False),
    ]
)
"""An event of a thread: the begin or the end of a span. An end repeats the scope of its begin."""

ASYNC_EVENT = pa.struct(
    [
        *THREAD_EVENT,
        pa.field("span_id", pa.int64(), nullable=False),  # unique in the process, greater than 0
        pa.field("parent_span_id", pa.int64(), nullable=False),  # 0 when there is none
        pa.field("depth", pa.uint32(), nullable=False),  # number of ancestors
    ]
)
"""An event of an async stream."""

WHOLE_SPAN = pa.struct(
    [
        THREAD_EVENT.field("ticks"),  # of its begin
        pa.field("end_ticks", pa.int64(), nullable=False),
        THREAD_EVENT.field("scope"),
        pa.field("span_id", pa.int64(), nullable=False),  # any bits but 0
        pa.field("parent_span_id", pa.int64(), nullable=False),  # 0 when there is none
    ]
)
"""A span as some senders tell of it: all at once, when it has ended, in any order."""

LOG_ENTRY = pa.struct(
    [
        THREAD_EVENT.field("ticks"),
        pa.field("level", pa.uint8(), nullable=False),  # 1 trace, 2 debug, 3 info, 4 warn, 5 error, 6 fatal; 0 none
        THREAD_EVENT.field("scope"),
        pa.field("msg", pa.utf8(), nullable=False),
    ]
)
"""A line of a log, or an instant, which is one without a level; its scope says where it comes from."""

MEASURE = pa.struct(
    [
        THREAD_EVENT.field("ticks"),
        THREAD_EVENT.field("scope"),  # its name is that of the counter
        pa.field("unit", pa.utf8(), nullable=False),  # empty if there is none
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""The value of a counter from this moment on."""

LINK = pa.struct(
    [
        THREAD_EVENT.field("ticks"),  # when the span that was caused is the innermost one of its thread
        pa.field("from_ticks", pa.int64(), nullable=False),  # the same of the one that caused it; not later
        THREAD_EVENT.field("scope"),
        pa.field("from_stream", pa.utf8(), nullable=False),  # of the thread that caused it
        pa.field("span_id", pa.int64(), nullable=False),  # of the async span that was caused instead, or 0
        pa.field("from_span_id", pa.int64(), nullable=False),  # of the async span in which it was caused, or 0
    ]
)
"""That one span caused another, elsewhere; its stream is of the thread of the span that was caused, and its scope says
what for."""

ATTRIBUTES = pa.field("attributes", pa.binary(), nullable=False)
"""One more field that every event may have: what was noted of it (`udtf.lake.attributes`)."""

THREAD_TAG = "thread"
"""Tag of a stream that holds the ordered begin and end events of one thread."""
CPU_TAG = "cpu"
"""What SQL shows beside it."""
ASYNC_TAG = "async"
"""Tag of a stream that holds begin and end events of spans that may overlap."""
WHOLE_TAG = "span"
"""Tag of a stream that holds whole spans; that of a thread if it says so (`thread-stream-id` is its own id)."""
LOG_TAG = "log"
"""Tag of a stream that holds lines of a log."""
MEASURE_TAG = "measure"
"""Tag of a stream that holds values of counters."""
LINK_TAG = "link"
"""Tag of a stream that holds links to spans of one thread."""
