"""Where the time of the threads of a process went: `self_time(process_id[, begin, end])` by function, and
`flamegraph(process_id[, begin, end])` by stack of calls.

The time of a span is what of it lies in the range; a span that has not ended counts, but has no time. The time of a
function or a stack itself is that of its spans less that of the spans right inside of them.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, range_given
from udtf.functions.view_instance import parts_of, row_streams
from udtf.lake.matching import OPEN
from udtf.lake.scopes import NO_SCOPES, ScopeTable, merged
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange
from udtf.lake.view import View
from udtf.views.catalog import kind_named
from udtf.views.kind import Part
from udtf.views.spans import Spans

MAX_STACK_FRAMES = 256
"""Longest stack; what is deeper counts for the span at its end."""

NO_KEY = np.uint64(0)

PROCESS_AND_RANGE = (
    Parameter("process_id", "text"),
    Parameter("begin", "time", MIN_TIME_NS),
    Parameter("end", "time", MAX_TIME_NS),
)

_TIMES = [
    pa.field("spans", pa.int64(), nullable=False),
    pa.field("total_ns", pa.int64(), nullable=False),
    pa.field("self_ns", pa.int64(), nullable=False),
]


class _Profile(TableFunction):
    """A function whose rows are known when all spans have been read."""

    parameters = PROCESS_AND_RANGE
    columns: pa.Schema
    by_stack: bool

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        range_given(arguments)
        return self.columns

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        process_id: str = arguments["process_id"]
        query.lake.metadata.process(process_id)
        time_range = TimeRange(arguments["begin"], arguments["end"]).within(query.context.range)

        def batches() -> Iterator[pa.RecordBatch]:
            if time_range is None:
                return
            view = query.view(kind_named("thread_spans"), query.lake.telemetry_of(process_id), time_range)
            times = _Times(self.by_stack, time_range, view)
            for part in parts_of(view, by_stream=True):
                if part is None:
                    yield pa.RecordBatch.from_pylist([], schema)
                else:
                    times.add(part, row_streams(view, part))
            yield pa.record_batch(self.rows(times.sums(), times.scopes), schema=schema)
            tell_failures(query, view)
            tell_losses(query, view)

        return Rows(schema, batches)

    @abstractmethod
    def rows(self, sums: pa.Table, scopes: ScopeTable) -> Sequence[pa.Array]:
        """The columns, most time first, from the sums of each key (see `_Times`)."""


class SelfTime(_Profile):
    """A row for each function: how many spans it has, how long they took, and how long without those inside.

    Where a function calls itself, the inner span counts for the total as well.
    """

    name = "self_time"
    by_stack = False
    columns = pa.schema(
        [
            pa.field("name", pa.utf8(), nullable=False),
            pa.field("target", pa.utf8(), nullable=False),
            pa.field("filename", pa.utf8(), nullable=False),
            pa.field("line", pa.int64(), nullable=False),
            *_TIMES,
        ]
    )

    def rows(self, sums: pa.Table, scopes: ScopeTable) -> Sequence[pa.Array]:
        sums = sums.sort_by([("self_ns", "descending"), ("scope", "ascending")])
        names, targets, filenames, lines = scopes.scopes.take(_column(sums, "scope")).flatten()
        return [names, targets, filenames, lines.cast(pa.int64()), *(_column(sums, each.name) for each in _TIMES)]


class Flamegraph(_Profile):
    """A row for each stack of calls, the outermost first and a semicolon between names, as tools for flame graphs read
    them, with how long it took. A semicolon within a name becomes a comma."""

    name = "flamegraph"
    by_stack = True
    columns = pa.schema(
        [
            pa.field("stack", pa.utf8(), nullable=False),
            pa.field("name", pa.utf8(), nullable=False),
            pa.field("depth", pa.int64(), nullable=False),
            *_TIMES,
        ]
    )

    def rows(self, sums: pa.Table, scopes: ScopeTable) -> Sequence[pa.Array]:
        sums = sums.sort_by("depth")
        names = scopes.scopes.field("name").take(_column(sums, "scope"))
        stacks: dict[int, str] = {}
        # Once for each stack that there is; the one around it is less deep, and so it has been told before.
        keys, around = _column(sums, "key").to_pylist(), _column(sums, "around").to_pylist()
        for key, outer, name in zip(keys, around, names.to_pylist(), strict=True):
            frame = name.replace(";", ",")
            stacks[key] = f"{stacks[outer]};{frame}" if outer in stacks else frame
        columns = [pa.array(stacks.values(), pa.utf8()), names, _column(sums, "depth")]
        columns += [_column(sums, each.name) for each in _TIMES]
        table = pa.table(columns, schema=self.columns).sort_by([("self_ns", "descending"), ("stack", "ascending")])
        return [_column(table, name) for name in self.columns.names]


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table.column(name)
    return pa.concat_arrays([pa.array([], column.type), *column.chunks])


@dataclass
class _Times:
    """Times of spans added up by key: of the function, or of the function and all those around it.

    Attributes:
        scopes: those of all parts so far.
    """

    by_stack: bool
    time_range: TimeRange
    view: View
    scopes: ScopeTable = NO_SCOPES

    def __post_init__(self) -> None:
        self._sums = _SUMS.empty_table()
        self._bases = np.zeros(len(self.view.streams) + 1, np.int64)
        self._ids = np.empty(0, np.int64)
        self._keys = np.empty(0, np.uint64)
        self._ended = np.empty(0, np.bool_)

    def add(self, part: Part[Spans], streams: npt.NDArray[np.int32]) -> None:
        """Add the spans of a part; nothing that comes later belongs before them, in its stream."""
        spans = part.columns
        self.scopes, (_, codes) = merged([self.scopes, part.scopes])
        scopes = codes[spans.scopes]
        self._make_room(spans, streams)
        has_ended = spans.ends_ns != OPEN
        keys, around, less = _keys_of(
            self.by_stack,
            streams,
            spans.ids,
            spans.parents,
            spans.depths,
            has_ended,
            self.scopes.hashes[scopes],
            self._bases,
            self._ids,
            self._keys,
            self._ended,
        )
        ends_ns = np.minimum(spans.ends_ns, self.time_range.end_ns)
        times_ns = np.where(has_ended, ends_ns - np.maximum(spans.begins_ns, self.time_range.begin_ns), 0)
        own = np.flatnonzero(spans.depths < MAX_STACK_FRAMES) if self.by_stack else np.arange(len(spans))
        inner = own[less[own] != NO_KEY]
        ones = np.ones(len(spans), np.int64)
        values = (keys, around, scopes, spans.depths.astype(np.int64), ones, times_ns, times_ns)
        told = pa.table([pa.array(column[own]) for column in values], schema=_SUMS)
        # What a span takes is not of the one around it.
        taken = pa.table({"key": less[inner], "self_ns": -times_ns[inner]})
        self._sums = _summed(pa.concat_tables([self._sums, told, taken], promote_options="default"))

    def sums(self) -> pa.Table:
        """For each key: that of the span around or `NO_KEY`, scope, depth, spans, total and self time."""
        return self._sums

    def _make_room(self, spans: Spans, streams: npt.NDArray[np.int32]) -> None:
        """Room for as many open spans of each stream as it is deep."""
        rooms = np.diff(self._bases)
        needed = rooms.copy()
        np.maximum.at(needed, streams, spans.depths + 1)
        if np.array_equal(needed, rooms):
            return
        bases = np.concatenate(([0], np.cumsum(needed)))
        ids, keys, ended = np.full(bases[-1], -1), np.zeros(bases[-1], np.uint64), np.zeros(bases[-1], np.bool_)
        places = np.repeat(bases[:-1] - self._bases[:-1], rooms) + np.arange(len(self._ids))
        ids[places], keys[places], ended[places] = self._ids, self._keys, self._ended
        self._bases, self._ids, self._keys, self._ended = bases, ids, keys, ended


_SUMS = pa.schema(
    [
        ("key", pa.uint64()),
        ("around", pa.uint64()),
        ("scope", pa.int32()),
        ("depth", pa.int64()),
        ("spans", pa.int64()),
        ("total_ns", pa.int64()),
        ("self_ns", pa.int64()),
    ]
)


def _summed(table: pa.Table) -> pa.Table:
    """One row for each key. Rows that only take from a key have nothing else."""
    told = [(name, "min") for name in ("around", "scope", "depth")]
    added = [(name, "sum") for name in ("spans", "total_ns", "self_ns")]
    sums = table.group_by("key").aggregate([*told, *added])
    return pa.table([sums.column("key"), *(sums.column(f"{name}_{how}") for name, how in told + added)], schema=_SUMS)


_BOOLS, _INT32S, _INT64S, _UINT64S = (
    f"Array({name}, 1, 'C', readonly=True)" for name in ("boolean", "int32", "int64", "uint64")
)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


@numba.njit(
    f"Tuple((uint64[::1], uint64[::1], uint64[::1]))(boolean, {_INT32S}, {_INT64S}, {_INT64S}, {_INT32S}, {_BOOLS}, "
    f"{_UINT64S}, {_INT64S}, int64[::1], uint64[::1], boolean[::1])",
    nogil=True,
    cache=True,
)
def _keys_of(  # type: ignore[no-untyped-def]
    by_stack, streams, ids, parents, depths, has_ended, scope_hashes, bases, open_ids, open_keys, open_ended
):
    """The key of each span, and that of the span around it, twice: the second one only if that one has a time. `NO_KEY`
    is none.

    Spans of a stream come in the order of their begins. Those around the next one are at `bases` of the stream, by
    depth: ids, keys, and whether they have ended, which are brought up to date.
    """
    keys = np.zeros(len(ids), np.uint64)
    around = np.zeros(len(ids), np.uint64)
    less = np.zeros(len(ids), np.uint64)
    for i in range(len(ids)):
        place = bases[streams[i]] + depths[i]
        if depths[i] > 0 and open_ids[place - 1] == parents[i]:
            around[i] = open_keys[place - 1]
            if open_ended[place - 1]:
                less[i] = around[i]
        key = scope_hashes[i]
        if by_stack:
            key = (around[i] ^ (key + _MIX)) * _MIX
            key ^= key >> _SHIFT
        keys[i] = max(key, np.uint64(1))
        open_ids[place] = ids[i]
        open_keys[place] = keys[i]
        open_ended[place] = has_ended[i]
    return keys, around, less
