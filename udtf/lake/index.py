"""What must be known of some events without reading them: which runs of ordinals there are, and what is loose in them.

An event is *loose* if its other half, the end of a begin or the begin of an end, is not in the same stretch of
telemetry. The loose events of a stretch say all that matters to what comes before and after it: which spans it leaves
open, and which it closes. They are whole events, so the index of several stretches follows from their indexes alone
(`combine`), and a reader learns from a few indexes what hours of telemetry have left open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from udtf.arrow.messages import ON_THIS_THREAD
from udtf.lake.events import Events, concatenate
from udtf.lake.ranges import ranges
from udtf.lake.schemas import SCOPE
from udtf.lake.scopes import ScopeTable

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


class Matching(Protocol):
    """What an index must know of its kind of telemetry; see `udtf.views.kind.Kind`."""

    def settle(self, events: Events, bounds: Int64s, runs: "Runs") -> "tuple[npt.NDArray[np.bool_], Runs]": ...


_HASHED_SCOPE = pa.struct([*SCOPE, pa.field("hash", pa.uint64(), nullable=False)])


@dataclass(frozen=True)
class Runs:
    """Runs of consecutive events of streams, as columns of equal length.

    `streams` are rows of a list of streams; `first` and `end` are ordinals, the end not included; `nb_rows` is how many
    rows of a partition the run makes.
    """

    streams: Int32s
    first: Int64s
    end: Int64s
    begin_ticks: Int64s
    end_ticks: Int64s
    nb_rows: Int64s

    def __len__(self) -> int:
        return len(self.streams)

    def take(self, rows: Int64s | npt.NDArray[np.bool_]) -> "Runs":
        return Runs(*(column[rows] for column in vars(self).values()))

    @property
    def nb_events(self) -> Int64s:
        """Events of each run."""
        return self.end - self.first

    def follow(self) -> npt.NDArray[np.bool_]:
        """Whether each run goes on where the one before it ends, in the same stream."""
        result = np.zeros(len(self), np.bool_)
        result[1:] = (self.streams[1:] == self.streams[:-1]) & (self.first[1:] == self.end[:-1])
        return result


@dataclass(frozen=True)
class Index:
    """The runs of one kind of telemetry in a stretch, by stream and ordinal, and their loose events in that order.

    `bounds[r]` to `bounds[r + 1]` are the loose events of run r, and `ordinals` say which events of its stream they
    are.
    """

    stream_ids: pa.StringArray
    runs: Runs
    loose: Events
    ordinals: Int64s
    bounds: Int64s

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about."""
        columns = [*vars(self.runs).values(), self.ordinals, self.bounds, self.loose.scopes.hashes]
        texts = self.stream_ids.nbytes + self.loose.rows.nbytes + self.loose.scopes.scopes.nbytes
        return int(sum(column.nbytes for column in columns) + texts) + 2000

    def shifted(self, offsets: Int64s) -> "Index":
        """The same with the ordinals of each of its streams greater by the offset of the stream."""
        of_runs = offsets[self.runs.streams]
        runs = replace(self.runs, first=self.runs.first + of_runs, end=self.runs.end + of_runs)
        return replace(self, runs=runs, ordinals=self.ordinals + np.repeat(of_runs, np.diff(self.bounds)))

    def encode(self) -> bytes:
        """An Arrow IPC stream of one row of lists."""
        scopes = self.loose.scopes
        hashed_scopes = pa.StructArray.from_arrays(
            [*scopes.scopes.flatten(), pa.array(scopes.hashes)], fields=list(_HASHED_SCOPE)
        )
        return encode_lists(
            {
                "stream_ids": self.stream_ids,
                "runs": pa.StructArray.from_arrays(
                    [pa.array(column) for column in vars(self.runs).values()], list(vars(self.runs))
                ),
                "loose": self.loose.rows.to_struct_array(),
                "ordinals": pa.array(self.ordinals),
                "bounds": pa.array(self.bounds),
                "scopes": hashed_scopes,
            }
        )

    @staticmethod
    def decode(data: bytes | memoryview) -> "Index":
        """The inverse of `encode`, of bytes that can be trusted."""
        lists = decode_lists(data)
        *scope_columns, hashes = lists["scopes"].flatten()
        scopes = ScopeTable(pa.StructArray.from_arrays(scope_columns, fields=list(SCOPE)), hashes.to_numpy())
        return Index(
            lists["stream_ids"],
            Runs(*(column.to_numpy() for column in lists["runs"].flatten())),
            Events(pa.RecordBatch.from_struct_array(lists["loose"]), scopes),
            lists["ordinals"].to_numpy(),
            lists["bounds"].to_numpy(),
        )


def index_of(kind: Matching, stream_ids: pa.StringArray, runs: Runs, events: Events) -> Index:
    """The index of events, given those of each run end to end; runs by stream and ordinal, which may follow one
    another."""
    ordinals = ranges(runs.first, runs.nb_events)
    bounds = np.concatenate(([0], np.cumsum(runs.nb_events)))
    return _joined(kind, Index(stream_ids, runs, events, ordinals, bounds))


def combine(kind: Matching, parts: Sequence[Index]) -> Index:
    """The index of several stretches together, from the indexes of each, one at least."""
    return _joined(kind, lay_out(parts)[0])


def _joined(kind: Matching, laid: Index) -> Index:
    """The same, with runs that follow one another made one, and without events that are loose no longer."""
    follows = laid.runs.follow()
    starts = np.flatnonzero(~follows)
    lasts = np.append(starts[1:], len(follows)) - 1
    runs = Runs(
        laid.runs.streams[starts],
        laid.runs.first[starts],
        laid.runs.end[lasts],
        np.minimum.reduceat(laid.runs.begin_ticks, starts),
        np.maximum.reduceat(laid.runs.end_ticks, starts),
        np.add.reduceat(laid.runs.nb_rows, starts),
    )
    bounds = np.append(laid.bounds[starts], laid.bounds[-1])
    is_loose, runs = kind.settle(laid.loose, bounds, runs)
    loose = np.flatnonzero(is_loose)
    return Index(
        laid.stream_ids,
        runs,
        laid.loose.take(loose).compact(),
        laid.ordinals[loose],
        np.searchsorted(loose, bounds),
    )


def lay_out(parts: Sequence[Index], stream_ids: pa.StringArray | None = None) -> tuple[Index, Int64s]:
    """The runs and loose events of several indexes by stream and ordinal, nothing combined.

    Args:
        stream_ids: the streams that are wanted, in their order; by default all, as they come.

    Returns:
        the runs as one index, and for each of them its place in the runs of the parts put end to end.
    """
    texts = pa.concat_arrays([part.stream_ids for part in parts])
    if stream_ids is None:
        stream_ids = texts.unique()
    codes = pc.index_in(texts, value_set=stream_ids).fill_null(-1).to_numpy()
    runs = _join_runs([part.runs for part in parts])
    first_codes = np.cumsum([0, *(len(part.stream_ids) for part in parts[:-1])])
    streams = codes[runs.streams + np.repeat(first_codes, [len(part.runs) for part in parts])]
    order = np.lexsort((runs.first, streams))
    order = order[streams[order] >= 0]
    runs = replace(runs, streams=streams.astype(np.int32)).take(order)
    # Loose events move with their runs.
    counts = np.concatenate([np.diff(part.bounds) for part in parts])
    positions = ranges((np.cumsum(counts) - counts)[order], counts[order])
    return (
        Index(
            stream_ids,
            runs,
            concatenate([part.loose for part in parts]).take(positions),
            np.concatenate([part.ordinals for part in parts])[positions],
            np.concatenate(([0], np.cumsum(counts[order]))),
        ),
        order,
    )


def _join_runs(parts: Sequence[Runs]) -> Runs:
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Runs(*(np.concatenate(column) for column in columns))


def encode_lists(columns: dict[str, pa.Array], compression: str | None = "lz4") -> bytes:
    """Arrays of any length as an Arrow IPC stream of one row of lists."""
    lists = {
        name: pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
        for name, column in columns.items()
    }
    batch = pa.record_batch(lists)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    ) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_lists(data: bytes | memoryview) -> dict[str, pa.Array]:
    """The inverse of `encode_lists`."""
    batch = pa.ipc.open_stream(data, options=ON_THIS_THREAD).read_next_batch()
    # The one row of each list has all values: `flatten` would copy what it looks for.
    return {name: column.values for name, column in zip(batch.schema.names, batch.columns, strict=True)}
