"""Values of counters into tracks of their own, below their threads or their process."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.perfetto.columns import ordered_columns
from udtf.perfetto.kernels import encode_values
from udtf.perfetto.pieces import pieces_of
from udtf.perfetto.sequence import events_start
from udtf.perfetto.tracks import ThreadTrack, counter_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part, Piece
    from udtf.views.moments import Moments


class CounterTracer:
    """Writes the counters of a process, part after part of them. A counter is known by its name and unit, and by the
    thread that it is of.

    Args:
        threads: of each stream the thread that it is of, or None.
        run_streams: of each run of events, which of the streams it is of.
    """

    def __init__(
        self, writer: TraceWriter, threads: Sequence[ThreadTrack | None], run_streams: npt.NDArray[np.int32]
    ) -> None:
        self._writer = writer
        self._threads = threads
        self._run_streams = run_streams
        self._numbers: dict[tuple[str, str], int] = {}
        self._described: set[int] = set()

    def write(self, parts: "Sequence[Part[Moments]]", *, last: bool) -> "Iterator[tuple[int, int, Piece]]":
        """See `udtf.views.kind.Tracer`."""
        columns, bounds = ordered_columns(
            parts,
            [
                (part.columns.times_ns, part.columns.rows.column("value").to_numpy(), self._numbered(part))
                for part in parts
            ],
            self._run_streams,
            len(self._threads),
        )
        counters = list(self._numbers)
        for stream in np.flatnonzero(np.diff(bounds)).tolist():
            times_ns, values, numbers = (column[bounds[stream] : bounds[stream + 1]] for column in columns)
            order = np.argsort(numbers, kind="stable")
            ends = np.cumsum(np.bincount(numbers, minlength=len(counters)))
            for number in np.unique(numbers).tolist():
                rows = order[ends[number - 1] if number else 0 : ends[number]]
                pieces = self._counter(self._threads[stream], counters[number], times_ns[rows], values[rows])
                yield from ((stream, 0, piece) for piece in pieces)

    def _numbered(self, part: "Part[Moments]") -> npt.NDArray[np.int64]:
        """The number of the counter that each value of a part is of."""
        names = part.scopes.scopes.field("name").dictionary_encode()
        units: pa.DictionaryArray = part.columns.rows.column("unit")
        pairs = names.indices.to_numpy()[part.columns.scopes].astype(np.int64) * len(units.dictionary)
        used, pair_of = np.unique(pairs + units.indices.to_numpy(), return_inverse=True)
        numbers = np.empty(len(used), np.int64)
        for place, pair in enumerate(used.tolist()):
            name, unit = divmod(pair, len(units.dictionary))
            counter = names.dictionary[name].as_py(), units.dictionary[unit].as_py()
            numbers[place] = self._numbers.setdefault(counter, len(self._numbers))
        return numbers[pair_of]

    def _counter(
        self,
        thread: ThreadTrack | None,
        counter: tuple[str, str],
        times_ns: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> Iterator[bytes | memoryview]:
        """Some values of one counter, after the descriptor of its track where they are its first."""
        parent = self._writer.process.process_id if thread is None else thread.stream_id
        uuid = track_uuid("counter", parent, *counter)
        if uuid not in self._described:
            self._described.add(uuid)
            yield counter_descriptor(self._writer.uuid_of(thread), uuid, *counter)
        yield events_start(uuid)
        yield from pieces_of(len(times_ns), 0, 0, partial(encode_values, times_ns, values))
