"""The spans of one async stream into packets on lanes below the track of their process."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from udtf.errors import CorruptData
from udtf.perfetto.interning import END_BODIES, Bodies, InternedScopes
from udtf.perfetto.lanes import AsyncSpans, Lanes
from udtf.perfetto.pieces import Events, check_columns, track_fields, write_events
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import ProcessTrack, child_descriptor, track_uuid

_ROWS_AT_ONCE = 8192
"""Spans that are laid out together, or as many as are open: each open span is carried on no more than it has to."""


class AsyncEncoder:
    """Turns one async stream's spans, batch after batch, into pieces of whole packets."""

    def __init__(self, process: ProcessTrack, stream_id: str) -> None:
        self._process = process
        self._stream_id = stream_id
        self._lanes = Lanes()
        self._tracks = track_fields([])
        self._last_ns = 0

    def start(self) -> bytes:
        """The packet that goes before all events of the stream, after the descriptor of the process."""
        return events_start(None)

    def encode(
        self,
        begin_ids: npt.NDArray[np.int64],
        end_ids: npt.NDArray[np.int64],
        begin_ns: npt.NDArray[np.int64],
        end_ns: npt.NDArray[np.int64],
        span_ids: npt.NDArray[np.int64],
        parent_span_ids: npt.NDArray[np.int64],
        codes: npt.NDArray[np.int32],
        scopes: InternedScopes,
    ) -> Iterator[bytes | memoryview]:
        """The next spans, in order of their begins, and the ends that come before the last of them.

        To be exhausted before the next call. Pieces of events hold at most `pieces.PIECE_BYTES`.

        Args: columns of equal length: ordinals of the begin and of the end, `OPEN` where there is none; times of
            both; the span's id and its parent's; code of the scope.

        Raises:
            CorruptData: a span ends before it begins, or its scope is unknown.
        """
        spans = AsyncSpans(
            np.ascontiguousarray(begin_ids, np.int64),
            np.ascontiguousarray(end_ids, np.int64),
            np.ascontiguousarray(begin_ns, np.int64),
            np.ascontiguousarray(end_ns, np.int64),
            np.ascontiguousarray(span_ids, np.int64),
            np.ascontiguousarray(parent_span_ids, np.int64),
            np.ascontiguousarray(codes, np.int32),
        )
        check_columns(list(vars(spans).values()), spans.codes, scopes)
        if np.any(spans.end_ids <= spans.begin_ids):
            raise CorruptData("an async span ends before it begins")
        row = 0
        while row < len(spans):
            next_row = row + max(_ROWS_AT_ONCE, self._lanes.open_count)
            events = self._lanes.lay_out(spans.slice(row, next_row))
            yield from self._new_tracks()
            yield from self._write(events, scopes.bodies)
            row = next_row

    def finish(self) -> Iterator[memoryview]:
        """The ends that are still due."""
        yield from self._write(self._lanes.close(), END_BODIES)

    def _write(self, events: Events, bodies: Bodies) -> Iterator[memoryview]:
        yield from write_events(events, self._last_ns, bodies, self._tracks)
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
