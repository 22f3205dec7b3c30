"""View set `links`: which span caused which other one, in another thread or task.

A link is of the moment at which the span that was caused begins, or is linked, and a time range shows those of such
moments. Both spans are known by their threads and by times at which they are the innermost ones there; async spans by
their ids. Of whole spans that is enough: where the stream of the cause is empty, nothing else is known of it, not even
its time.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import InvalidEvent
from udtf.lake import schemas
from udtf.lake.clock import NS_PER_SECOND, Clock
from udtf.lake.events import Events
from udtf.lake.index import Index
from udtf.lake.metadata import StreamRow
from udtf.perfetto.links import LinkTracer, named_by_ids
from udtf.perfetto.writer import TraceWriter
from udtf.views.kind import Int64s, Part
from udtf.views.moments import ROW_FIELDS, THREAD_FIELDS, MomentKind, Moments, check_text, thread_columns
from udtf.views.spans import PROPERTIES, SCOPE_FIELDS, TEXT, properties_column, scope_columns, timestamps

_LINK_FIELDS = [
    pa.field("span_id", pa.int64(), nullable=False),
    pa.field("from_time", schemas.TIMESTAMP, nullable=False),
    pa.field("from_stream_id", TEXT, nullable=False),
    pa.field("from_span_id", pa.int64(), nullable=False),
]


def ids_named(part: Part[Moments]) -> Int64s:
    """The ids of whole spans that links of a part name, without saying where they are."""
    links = part.columns.rows
    rows = named_by_ids(links)
    return np.concatenate([links.column(name).to_numpy()[rows] for name in ("span_id", "from_span_id")])


class Links(MomentKind):
    """See the module."""

    name = "links"
    tag = schemas.LINK_TAG
    leads_elsewhere = True
    column = "links"
    event = schemas.LINK
    rows = pa.schema([*ROW_FIELDS, *_LINK_FIELDS])
    columns = pa.schema([ROW_FIELDS[0], *THREAD_FIELDS, *_LINK_FIELDS, *SCOPE_FIELDS[1:], PROPERTIES])
    schema_version = 1

    def check(self, events: Events, bounds: Int64s) -> None:
        is_wrong = events.column("from_ticks") > events.column("ticks")
        if np.any(is_wrong):
            wrong = int(np.argmax(is_wrong))
            ticks, from_ticks = (events.column(name)[wrong] for name in ("ticks", "from_ticks"))
            raise InvalidEvent(wrong, f"column 'from_ticks' is {from_ticks}", f"at most 'ticks', {ticks}")
        check_text(events, "from_stream")

    def values(self, events: Events, clock: Clock) -> list[pa.Array]:
        # No trace holds times before 1970, and the times of these ticks have not been looked at.
        first_ticks = clock.start_ticks - clock.start_time_ns * clock.frequency // NS_PER_SECOND
        from_ticks = np.maximum(events.column("from_ticks"), max(first_ticks, np.iinfo(np.int64).min))
        return [
            events.rows.column("span_id"),
            timestamps(np.maximum(clock.to_ns(from_ticks), 0)),
            events.rows.column("from_stream").dictionary_encode(),
            events.rows.column("from_span_id"),
        ]

    def batch(
        self, part: Part[Moments], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        rows = part.columns.rows
        _, *scope = scope_columns(part.scopes, part.columns.scopes)
        return pa.record_batch(
            [
                timestamps(part.columns.times_ns),
                *thread_columns(streams, row_streams),
                *(rows.column(field.name) for field in _LINK_FIELDS),
                *scope,
                properties_column(part.columns.attributes, len(part.columns)),
            ],
            schema=self.columns,
        )

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> LinkTracer:
        return LinkTracer(
            writer, [(stream.stream_id, stream.thread_stream_id) for stream in streams], index.runs.streams
        )
