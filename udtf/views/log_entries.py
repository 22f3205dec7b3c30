"""View set `log_entries`: the lines of logs, and instants, which have no level."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import InvalidEvent
from udtf.lake import schemas
from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index
from udtf.lake.metadata import StreamRow
from udtf.perfetto.logs import LogTracer
from udtf.perfetto.writer import TraceWriter
from udtf.views.kind import Int64s, Part
from udtf.views.moments import ROW_FIELDS, THREAD_FIELDS, MomentKind, Moments, check_text, thread_columns
from udtf.views.spans import PROPERTIES, SCOPE_FIELDS, TEXT, properties_column, scope_columns, timestamps

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
"""By their numbers, which begin at 1."""

_LEVEL_NAMES = pa.array(LEVELS)


class LogEntries(MomentKind):
    """See the module."""

    name = "log_entries"
    tag = schemas.LOG_TAG
    column = "log_entries"
    event = schemas.LOG_ENTRY
    rows = pa.schema(
        [*ROW_FIELDS, pa.field("level", pa.int32(), nullable=False), pa.field("msg", TEXT, nullable=False)]
    )
    columns = pa.schema(
        [
            ROW_FIELDS[0],
            pa.field("level", TEXT),
            SCOPE_FIELDS[2],
            pa.field("msg", TEXT, nullable=False),
            *THREAD_FIELDS,
            SCOPE_FIELDS[1],
            *SCOPE_FIELDS[3:],
            PROPERTIES,
        ]
    )
    schema_version = 2

    def check(self, events: Events, bounds: Int64s) -> None:
        levels = events.column("level")
        is_wrong = levels > len(LEVELS)
        if np.any(is_wrong):
            wrong = int(np.argmax(is_wrong))
            raise InvalidEvent(wrong, f"column 'level' is {levels[wrong]}", f"0 (none) to {len(LEVELS)} (fatal)")
        check_text(events, "msg")

    def values(self, events: Events, clock: Clock) -> list[pa.Array]:
        return [events.rows.column("level").cast(pa.int32()), events.rows.column("msg").dictionary_encode()]

    def batch(
        self, part: Part[Moments], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        rows = part.columns.rows
        numbers = np.asarray(rows.column("level").to_numpy())
        levels = pa.DictionaryArray.from_arrays(pa.array(numbers - 1, mask=numbers == 0), _LEVEL_NAMES)
        _, name, target, filename, line = scope_columns(part.scopes, part.columns.scopes)
        threads = thread_columns(streams, row_streams)
        return pa.record_batch(
            [
                timestamps(part.columns.times_ns),
                levels,
                target,
                rows.column("msg"),
                *threads,
                name,
                filename,
                line,
                properties_column(part.columns.attributes, len(part.columns)),
            ],
            schema=self.columns,
        )

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> LogTracer:
        threads = [writer.thread(stream.thread_stream_id) for stream in streams]
        return LogTracer(writer, threads, index.runs.streams, LEVELS)
