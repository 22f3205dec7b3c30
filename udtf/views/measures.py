"""View set `measures`: the values that counters of a process or a thread had."""

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
from udtf.perfetto.counters import CounterTracer
from udtf.perfetto.writer import TraceWriter
from udtf.views.kind import Int64s, Part
from udtf.views.moments import ROW_FIELDS, THREAD_FIELDS, MomentKind, Moments, check_text, thread_columns
from udtf.views.spans import PROPERTIES, SCOPE_FIELDS, TEXT, properties_column, scope_columns, timestamps


class Measures(MomentKind):
    """See the module."""

    name = "measures"
    tag = schemas.MEASURE_TAG
    column = "measures"
    event = schemas.MEASURE
    rows = pa.schema(
        [*ROW_FIELDS, pa.field("unit", TEXT, nullable=False), pa.field("value", pa.float64(), nullable=False)]
    )
    columns = pa.schema(
        [
            ROW_FIELDS[0],
            SCOPE_FIELDS[1],
            pa.field("unit", TEXT, nullable=False),
            pa.field("value", pa.float64(), nullable=False),
            *THREAD_FIELDS,
            *SCOPE_FIELDS[2:],
            PROPERTIES,
        ]
    )
    schema_version = 2

    def check(self, events: Events, bounds: Int64s) -> None:
        values = events.column("value")
        if np.any(np.isnan(values)):
            raise InvalidEvent(int(np.argmax(np.isnan(values))), "column 'value' is NaN", "a number")
        check_text(events, "unit")

    def values(self, events: Events, clock: Clock) -> list[pa.Array]:
        return [events.rows.column("unit").dictionary_encode(), events.rows.column("value")]

    def batch(
        self, part: Part[Moments], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        rows = part.columns.rows
        _, name, target, filename, line = scope_columns(part.scopes, part.columns.scopes)
        threads = thread_columns(streams, row_streams)
        return pa.record_batch(
            [
                timestamps(part.columns.times_ns),
                name,
                rows.column("unit"),
                rows.column("value"),
                *threads,
                target,
                filename,
                line,
                properties_column(part.columns.attributes, len(part.columns)),
            ],
            schema=self.columns,
        )

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> CounterTracer:
        threads = [writer.thread(stream.thread_stream_id) for stream in streams]
        return CounterTracer(writer, threads, index.runs.streams)
