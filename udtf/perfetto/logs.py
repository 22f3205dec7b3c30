"""Lines of logs into instants on the tracks of their threads, each with its level, if it has one.

Those with a level, of threads, are rows of the viewer's table of logs as well.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.perfetto.annotations import Annotations
from udtf.perfetto.columns import interned_columns
from udtf.perfetto.definitions import define_annotation
from udtf.perfetto.kernels import LEVEL_IID, encode_logs
from udtf.perfetto.pieces import Bytes, pieces_of
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import ThreadTrack
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece
    from udtf.views.moments import Moments


class LogTracer:
    """Writes the logs of a process, part after part of them.

    Args:
        threads: of each stream the thread that it is of, or None.
        run_streams: of each run of events, which of the streams it is of.
        levels: their names, by their numbers, from 1 on.
    """

    def __init__(
        self,
        writer: TraceWriter,
        threads: Sequence[ThreadTrack | None],
        run_streams: npt.NDArray[np.int32],
        levels: Sequence[str],
    ) -> None:
        self._writer = writer
        self._threads = threads
        self._run_streams = run_streams
        self._levels: Sequence[str] | None = levels

    def write(self, parts: "Sequence[Part[Moments]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`."""
        messages: list[bytes] = []

        def columns_of(moments: "Moments") -> tuple[npt.NDArray[Any], ...]:
            texts: pa.DictionaryArray = moments.rows.column("msg")
            iids, definitions = self._intern(texts)
            messages.extend(definitions)
            return moments.times_ns, moments.rows.column("level").to_numpy(), iids

        definitions, columns, bounds, annotations = interned_columns(
            self._writer, parts, columns_of, lambda moments: moments.scopes, self._run_streams, len(self._threads)
        )
        if self._levels is not None and bounds[-1]:
            definitions.append(define_annotation(LEVEL_IID, "level", 1, self._levels))
            self._levels = None
        for piece in definitions + messages:
            yield 0, 0, piece
        for stream in np.flatnonzero(np.diff(bounds)).tolist():
            thread = self._threads[stream]
            yield stream, 0, events_start(self._writer.uuid_of(thread))
            rows = slice(bounds[stream], bounds[stream + 1])
            of_stream = [np.ascontiguousarray(column[rows]) for column in columns]
            pieces = self._encode(thread is not None, *of_stream, annotations=annotations.of_rows(rows))
            yield from ((stream, 0, piece) for piece in pieces)

    def _intern(self, texts: pa.DictionaryArray) -> tuple[npt.NDArray[np.int32], tuple[bytes, ...]]:
        """The ids of texts; of a dictionary only those that are used."""
        codes = texts.indices.to_numpy()
        used = np.flatnonzero(np.bincount(codes, minlength=len(texts.dictionary)))
        interned = self._writer.intern_messages(texts.dictionary.take(pa.array(used)))
        iid_of = np.zeros(len(texts.dictionary), np.int32)
        iid_of[used] = interned.iids
        return iid_of[codes], interned.definitions

    def _encode(
        self,
        is_of_thread: bool,
        times_ns: npt.NDArray[np.int64],
        levels: npt.NDArray[np.int32],
        message_iids: npt.NDArray[np.int32],
        iids: npt.NDArray[np.int32],
        *,
        annotations: Annotations,
    ) -> Iterator[memoryview]:
        category_iids = self._writer.bodies.category_iids

        def encode(first: int, last_ns: int, piece: Bytes) -> tuple[int, int, int]:
            return encode_logs(  # type: ignore[no-any-return]
                times_ns,
                levels,
                message_iids,
                iids,
                category_iids,
                is_of_thread,
                first,
                last_ns,
                annotations.sources,
                *annotations.columns,
                piece,
            )

        return pieces_of(len(times_ns), 0, annotations.count_bytes(), encode)
