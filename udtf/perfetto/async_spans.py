"""The spans of one async stream into packets on lanes below the track of their process."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from udtf.errors import CorruptData
from udtf.perfetto.annotations import NO_ANNOTATIONS, NO_ATTRIBUTES, Annotations
from udtf.perfetto.columns import interned_columns
from udtf.perfetto.interning import Bodies
from udtf.perfetto.lanes import AsyncSpans, Lanes
from udtf.perfetto.packets import END_ROW
from udtf.perfetto.pieces import Events, check_columns, track_fields, write_events
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import ProcessTrack, child_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece

_ROWS_AT_ONCE = 8192
"""Spans that are laid out together, or as many as are open: each open span is carried on no more than it has to."""


class AsyncTracer:
    """Writes the spans of the async streams of a process, part after part of them.

    Args:
        stream_ids: in the order in which streams are in the trace.
        run_streams: of each run of events, which of the streams it is of.
    """

    def __init__(self, writer: TraceWriter, stream_ids: Sequence[str], run_streams: npt.NDArray[np.int32]) -> None:
        self._writer = writer
        self._run_streams = run_streams
        self._encoders = [AsyncEncoder(writer.process, stream_id, writer.bodies) for stream_id in stream_ids]

    def write(self, parts: "Sequence[Part[Any]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`; rows are `udtf.views.async_events.AsyncRows`."""
        definitions, columns, bounds, annotations = interned_columns(
            self._writer,
            [part.select(part.columns.is_begin) for part in parts],
            lambda rows: (
                rows.event_ids,
                rows.other_event_ids,
                rows.times_ns,
                rows.other_times_ns,
                rows.span_ids,
                rows.parent_span_ids,
            ),
            lambda rows: rows.scopes,
            self._run_streams,
            len(self._encoders),
        )
        for piece in definitions:
            yield 0, 0, piece
        counts = np.diff(bounds)
        for stream, encoder in enumerate(self._encoders):
            if counts[stream] or (last and encoder.is_due):
                yield stream, int(counts[stream]), encoder.start()
                rows = slice(bounds[stream], bounds[stream + 1])
                if counts[stream]:
                    pieces = encoder.encode(
                        *(column[rows] for column in columns), annotations=annotations.of_rows(rows)
                    )
                    yield from ((stream, 0, piece) for piece in pieces)
                if last:
                    yield from ((stream, 0, piece) for piece in encoder.finish())


class AsyncEncoder:
    """Turns one async stream's spans, batch after batch, into pieces of whole packets."""

    def __init__(self, process: ProcessTrack, stream_id: str, bodies: Bodies) -> None:
        self._process = process
        self._bodies = bodies
        self._stream_id = stream_id
        self._lanes = Lanes()
        self._tracks = track_fields([])
        self._last_ns = 0

    def start(self) -> bytes:
        """The packet that goes before events of the stream which do not follow others of it, after the descriptor of
        the process."""
        self._last_ns = 0
        return events_start(None)

    @property
    def is_due(self) -> bool:
        """Whether ends are to come, or may be."""
        return self._lanes.open_count > 0

    def encode(
        self,
        begin_ids: npt.NDArray[np.int64],
        end_ids: npt.NDArray[np.int64],
        begin_ns: npt.NDArray[np.int64],
        end_ns: npt.NDArray[np.int64],
        span_ids: npt.NDArray[np.int64],
        parent_span_ids: npt.NDArray[np.int64],
        iids: npt.NDArray[np.int32],
        *,
        annotations: Annotations = NO_ANNOTATIONS,
    ) -> Iterator[bytes | memoryview]:
        """The next spans, in order of their begins, and the ends that come before the last of them.

        To be exhausted before the next call. Pieces of events hold at most `pieces.PIECE_BYTES`.

        Args: columns of equal length: ordinals of the begin and of the end, `OPEN` where there is none; times of
            both; the span's id and its parent's; interned id of the scope; and the attributes of these spans.

        Raises:
            CorruptData: a span ends before it begins.
        """
        spans = AsyncSpans(
            np.ascontiguousarray(begin_ids, np.int64),
            np.ascontiguousarray(end_ids, np.int64),
            np.ascontiguousarray(begin_ns, np.int64),
            np.ascontiguousarray(end_ns, np.int64),
            np.ascontiguousarray(span_ids, np.int64),
            np.ascontiguousarray(parent_span_ids, np.int64),
            np.ascontiguousarray(iids, np.int32),
        )
        check_columns(list(vars(spans).values()), spans.iids, self._bodies)
        if np.any(spans.end_ids <= spans.begin_ids):
            raise CorruptData("an async span ends before it begins")
        row = 0
        while row < len(spans):
            next_row = row + max(_ROWS_AT_ONCE, self._lanes.open_count)
            events = self._lanes.lay_out(spans.slice(row, next_row))
            yield from self._new_tracks()
            yield from self._write(annotated(events, annotations.sources[row:next_row]), annotations)
            row = next_row

    def finish(self) -> Iterator[memoryview]:
        """The ends that are still due."""
        yield from self._write(self._lanes.close(), NO_ANNOTATIONS)

    def _write(self, events: Events, annotations: Annotations) -> Iterator[memoryview]:
        yield from write_events(events, self._last_ns, self._bodies, self._tracks, annotations)
        if len(events.times_ns):
            self._last_ns = int(events.times_ns[-1])

    def _new_tracks(self) -> Iterator[bytes]:
        """Descriptors of the lanes that are used for the first time."""
        uuids = [
            track_uuid("lane", self._stream_id, str(lane + 1))
            for lane in range(len(self._tracks), self._lanes.lane_count)
        ]
        for lane, uuid in enumerate(uuids, len(self._tracks) + 1):
            yield child_descriptor(self._process.uuid, uuid, f"async {lane}")
        self._tracks = np.concatenate((self._tracks, track_fields(uuids)))


def annotated(events: Events, sources: npt.NDArray[np.int64]) -> Events:
    """Events whose begins, in their order, have the attributes with these numbers."""
    if not len(sources):
        return events
    of_events = np.full(len(events.rows), NO_ATTRIBUTES, np.int64)
    of_events[events.rows != END_ROW] = sources
    return replace(events, sources=of_events)
