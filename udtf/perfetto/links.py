"""Links into flows: an instant on the track of each of the two threads, and an arrow from one to the other.

Tracks of threads have the instants of links between async spans as well, whose lanes are not known any more when links
are written. Whole spans that are named by their ids alone have them on their own tracks: see `linked.py`. A flow could
start at the open span itself, but the trace processor would take the last instant of the track, such as a line of a
log, for that span.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.perfetto.annotations import NO_ANNOTATIONS, Annotations
from udtf.perfetto.columns import interned_columns
from udtf.perfetto.kernels import encode_links
from udtf.perfetto.packets import DEFAULT_TRACK
from udtf.perfetto.pieces import Bytes, pieces_of, track_fields
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import track_uuid
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece
    from udtf.views.moments import Moments

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_NOT_SHOWN = -1
"""In place of a track."""


def named_by_ids(links: pa.RecordBatch) -> Int64s:
    """The rows of links that say nothing of where their cause is but its id: they have no `from_stream_id`."""
    streams: pa.DictionaryArray = links.column("from_stream_id")
    is_nowhere = np.array([text == "" for text in streams.dictionary.to_pylist()], np.bool_)
    return np.flatnonzero(is_nowhere[streams.indices.to_numpy()]) if is_nowhere.any() else np.empty(0, np.int64)


class LinkTracer:
    """Writes the links of a process, part after part of them.

    Args:
        streams: their ids, each with that of the stream of its thread, or None.
        run_streams: of each run of events, which of the streams it is of.
    """

    def __init__(self, writer: TraceWriter, streams: Sequence[tuple[str, str | None]], run_streams: Int32s) -> None:
        self._writer = writer
        self._threads = [writer.thread(thread_id) for _, thread_id in streams]
        self._next_flows = [track_uuid("links", stream_id) for stream_id, _ in streams]
        self._run_streams = run_streams
        self._places: dict[int, int] = {}
        """Tracks on which links begin, and where each is among them."""

    def write(self, parts: "Sequence[Part[Moments]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`."""

        def columns_of(moments: "Moments") -> tuple[npt.NDArray[Any], ...]:
            from_ns = moments.rows.column("from_time").view(pa.int64()).to_numpy()
            streams = moments.rows.column("from_stream_id")
            own = np.full(len(from_ns), DEFAULT_TRACK)
            columns = (moments.times_ns.copy(), from_ns.copy(), self._tracks_of(streams), own)
            self._look_up(moments.rows, *columns)
            return columns

        definitions, columns, bounds, annotations = interned_columns(
            self._writer, parts, columns_of, lambda moments: moments.scopes, self._run_streams, len(self._threads)
        )
        yield from ((0, 0, piece) for piece in definitions)
        tracks = track_fields(list(self._places))
        for stream in np.flatnonzero(np.diff(bounds)).tolist():
            rows = slice(bounds[stream], bounds[stream + 1])
            shown = np.flatnonzero(columns[2][rows] != _NOT_SHOWN)
            times_ns, from_ns, from_places, places, iids = (column[rows][shown] for column in columns)
            flows = self._next_flows[stream] + np.arange(len(iids))
            self._next_flows[stream] += len(iids)
            # Begins first, so that of two ends at one time the begin of the flow comes first.
            yield stream, 0, events_start(self._writer.uuid_of(self._threads[stream]))
            begins = self._encode(from_ns, from_places, iids, flows, tracks, False, NO_ANNOTATIONS)
            yield from ((stream, 0, piece) for piece in begins)
            yield stream, 0, events_start(self._writer.uuid_of(self._threads[stream]))
            noted = annotations.of_rows(rows)
            noted = noted.with_sources(noted.sources[shown]) if len(noted.sources) else noted
            ends = self._encode(times_ns, places, iids, flows, tracks, True, noted)
            yield from ((stream, 0, piece) for piece in ends)

    def _tracks_of(self, stream_ids: pa.DictionaryArray) -> Int64s:
        """Of each row the place of the track of a stream."""
        places = np.zeros(len(stream_ids.dictionary), np.int64)
        codes = stream_ids.indices.to_numpy()
        for code in np.unique(codes).tolist():
            places[code] = self._place_of(self._writer.track_of(stream_ids.dictionary[code].as_py()))
        of_rows: Int64s = places[codes]
        return of_rows

    def _place_of(self, uuid: int) -> int:
        """Of a track among those that are used here."""
        return self._places.setdefault(uuid, len(self._places))

    def _look_up(
        self,
        links: pa.RecordBatch,
        times_ns: Int64s,
        from_ns: Int64s,
        from_places: Int64s,
        places: Int64s,
    ) -> None:
        """Put in times and tracks of links that name both spans by their ids; as `from_places` `_NOT_SHOWN` where the
        trace lacks a span, or the cause begins when the other span is over."""
        rows = named_by_ids(links)
        if not len(rows):
            return
        linked = self._writer.linked
        causes, caused = (linked.places_of(links.column(name).to_numpy()[rows]) for name in ("from_span_id", "span_id"))
        from_places[rows] = _NOT_SHOWN
        are_shown = linked.are_found[causes] & linked.are_found[caused]
        are_shown &= linked.begins_ns[causes] <= linked.ends_ns[caused]
        rows, causes, caused = rows[are_shown], causes[are_shown], caused[are_shown]
        from_ns[rows] = linked.mark(causes, linked.begins_ns[causes])
        times_ns[rows] = linked.mark(caused, from_ns[rows])
        for columns, spans in ((from_places, causes), (places, caused)):
            uuids, of_rows = np.unique(linked.tracks[spans], return_inverse=True)
            columns[rows] = np.array([self._place_of(uuid) for uuid in uuids.tolist()], np.int64)[of_rows]

    def _encode(
        self,
        times_ns: Int64s,
        places: Int64s,
        iids: Int32s,
        flows: Int64s,
        tracks: npt.NDArray[np.uint64],
        is_end: bool,
        annotations: Annotations,
    ) -> Iterator[memoryview]:
        category_iids = self._writer.bodies.category_iids

        def encode(first: int, last_ns: int, piece: Bytes) -> tuple[int, int, int]:
            return encode_links(  # type: ignore[no-any-return]
                times_ns,
                places,
                iids,
                category_iids,
                flows,
                is_end,
                first,
                last_ns,
                tracks,
                annotations.sources,
                *annotations.columns,
                piece,
            )

        return pieces_of(len(times_ns), 0, annotations.count_bytes(), encode)
