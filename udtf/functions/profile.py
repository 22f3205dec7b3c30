"""Where the time of a process went: `self_time(process_id[, begin, end])` by function, and
`flamegraph(process_id[, begin, end])` by stack of calls, of the spans of threads, of tasks, and of those that came
whole.

The time of a span is what of it lies in the range; a span that has not ended counts, but has no time. The time of a
function or a stack itself is that of its spans less that of the spans right inside of them.

A span of a task, or one that came whole, is inside of its parent if it begins while that goes on. Several of them may
go on at once inside of one, and outlast it: what they share counts once, and what is after its end does not count.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from udtf.perfetto.lanes import indices_of
from udtf.views.catalog import kind_named
from udtf.views.kind import Bools, Int64s, Part
from udtf.views.spans import Spans

UInt64s = npt.NDArray[np.uint64]

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
            telemetry = query.lake.telemetry_of(process_id)
            of_threads, of_tasks, whole = views = [
                query.view(kind_named(name), telemetry, time_range)
                for name in ("thread_spans", "async_events", "whole_spans")
            ]
            sums = _Sums(self.by_stack)
            thread_times = _ThreadTimes(sums, time_range, of_threads)
            for part in parts_of(of_threads, by_stream=True):
                yield pa.RecordBatch.from_pylist([], schema)
                if part is not None:
                    thread_times.add(part, row_streams(of_threads, part))
            task_times = [_NestedTimes(sums, time_range) for _ in of_tasks.streams]
            for part in parts_of(of_tasks, by_stream=True):
                yield pa.RecordBatch.from_pylist([], schema)
                if part is not None:
                    spans = of_tasks.kind.spans(part)
                    streams = row_streams(of_tasks, spans)
                    for stream in np.unique(streams):
                        task_times[stream].add([spans.select(streams == stream)])
            whole_times = _NestedTimes(sums, time_range)
            for window in whole.windows():
                yield pa.RecordBatch.from_pylist([], schema)
                if window is not None:
                    whole_times.add([whole.kind.spans(part) for part in window.parts])
            yield pa.record_batch(self.rows(sums.table, sums.scopes), schema=schema)
            for view in views:
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


@dataclass
class _Sums:
    """Times of spans added up by key: of the function, or of the function and all those around it.

    Attributes:
        scopes: those of all spans so far.
        table: for each key that of the span around or `NO_KEY`, scope, depth, spans, total and self time.
    """

    by_stack: bool
    scopes: ScopeTable = NO_SCOPES
    table: pa.Table = field(default_factory=_SUMS.empty_table)

    def codes(self, scopes: ScopeTable) -> npt.NDArray[np.int32]:
        """What the codes of scopes are here, where they are added."""
        self.scopes, (_, codes) = merged([self.scopes, scopes])
        return codes

    def add(
        self,
        keys: UInt64s,
        around: UInt64s,
        scopes: npt.NDArray[np.int32],
        depths: Int64s,
        times_ns: Int64s,
        less: UInt64s,
        taken_ns: Int64s,
    ) -> None:
        """Add spans; of the time itself of the key `less`, unless that is `NO_KEY`, each takes `taken_ns`."""
        own = np.flatnonzero(depths < MAX_STACK_FRAMES) if self.by_stack else np.arange(len(keys))
        inner = own[less[own] != NO_KEY]
        ones = np.ones(len(keys), np.int64)
        values = (keys, around, scopes, depths, ones, times_ns, times_ns)
        told = pa.table([pa.array(column[own]) for column in values], schema=_SUMS)
        taken = pa.table({"key": less[inner], "self_ns": -taken_ns[inner]})
        self.table = _summed(pa.concat_tables([self.table, told, taken], promote_options="default"))


@dataclass
class _ThreadTimes:
    """Adds the spans of threads to sums."""

    sums: _Sums
    time_range: TimeRange
    view: View

    def __post_init__(self) -> None:
        self._bases = np.zeros(len(self.view.streams) + 1, np.int64)
        self._ids = np.empty(0, np.int64)
        self._keys = np.empty(0, np.uint64)
        self._ended = np.empty(0, np.bool_)

    def add(self, part: Part[Spans], streams: npt.NDArray[np.int32]) -> None:
        """Add the spans of a part; nothing that comes later belongs before them, in its stream."""
        spans = part.columns
        scopes = self.sums.codes(part.scopes)[spans.scopes]
        self._make_room(spans, streams)
        has_ended = spans.ends_ns != OPEN
        keys, around, less = _keys_of(
            self.sums.by_stack,
            streams,
            spans.ids,
            spans.parents,
            spans.depths,
            has_ended,
            self.sums.scopes.hashes[scopes],
            self._bases,
            self._ids,
            self._keys,
            self._ended,
        )
        ends_ns = np.minimum(spans.ends_ns, self.time_range.end_ns)
        times_ns = np.where(has_ended, ends_ns - np.maximum(spans.begins_ns, self.time_range.begin_ns), 0)
        # What a span takes is not of the one around it.
        self.sums.add(keys, around, scopes, spans.depths.astype(np.int64), times_ns, less, times_ns)

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


class _NestedTimes:
    """Adds spans that know their parents, and may overlap, to sums. Memory is that of the spans that go on."""

    def __init__(self, sums: _Sums, time_range: TimeRange) -> None:
        self._sums = sums
        self._time_range = time_range
        nothing = np.empty(0, np.int64)
        self._open = _Open(nothing, nothing, nothing.astype(np.uint64), nothing, nothing)

    def add(self, parts: Sequence[Part[Spans]]) -> None:
        """Add the spans of some parts; all that come later begin later."""
        if not sum(len(part.columns) for part in parts):
            return
        scopes = np.concatenate([self._sums.codes(part.scopes)[part.columns.scopes] for part in parts])
        ids, parents, begins_ns, ends_ns = (
            np.concatenate([getattr(part.columns, name) for part in parts])
            for name in ("ids", "parents", "begins_ns", "ends_ns")
        )
        order = np.argsort(begins_ns, kind="stable")
        ids, parents, begins_ns, ends_ns, scopes = (
            column[order] for column in (ids, parents, begins_ns, ends_ns, scopes)
        )
        open_before, nothing = self._open, np.zeros(len(ids), np.int64)
        known = _Open(
            np.concatenate((open_before.ids, ids)),
            np.concatenate((open_before.ends_ns, ends_ns)),
            np.concatenate((open_before.keys, nothing.astype(np.uint64))),
            np.concatenate((open_before.depths, nothing)),
            np.concatenate((open_before.covered_ns, begins_ns)),
        )
        places = indices_of(parents, known.ids)
        around, taken_ns = _keys_of_nested(
            *(self._sums.by_stack, begins_ns, self._sums.scopes.hashes[scopes], places),
            *(known.ends_ns, known.keys, known.depths, known.covered_ns),
            *(self._time_range.begin_ns, self._time_range.end_ns),
        )
        first = len(open_before.ids)
        lengths_ns = np.minimum(ends_ns, self._time_range.end_ns) - np.maximum(begins_ns, self._time_range.begin_ns)
        times_ns = np.where(ends_ns != OPEN, lengths_ns, 0)
        keys, depths = known.keys[first:], known.depths[first:]
        self._sums.add(keys, around, scopes, depths, times_ns, around, taken_ns)
        self._open = known.select(known.ends_ns > begins_ns[-1])


@dataclass(frozen=True)
class _Open:
    """Spans that go on, as columns; what is inside of each covers it until `covered_ns`, as far as it does."""

    ids: Int64s
    ends_ns: Int64s
    keys: UInt64s
    depths: Int64s
    covered_ns: Int64s

    def select(self, chosen: Bools) -> "_Open":
        return _Open(*(column[chosen] for column in vars(self).values()))


def _summed(table: pa.Table) -> pa.Table:
    """One row for each key. Rows that only take from a key have nothing else."""
    told = [(name, "min") for name in ("around", "scope", "depth")]
    added = [(name, "sum") for name in ("spans", "total_ns", "self_ns")]
    sums = table.group_by("key").aggregate([*told, *added])
    return pa.table([sums.column("key"), *(sums.column(f"{name}_{how}") for name, how in told + added)], schema=_SUMS)


_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


@numba.njit("uint64(boolean, uint64, uint64)", nogil=True, cache=True)
def _key(by_stack, scope_hash, around):  # type: ignore[no-untyped-def]
    """The key of a span in that of the span around it."""
    key = scope_hash
    if by_stack:
        key = (around ^ (key + _MIX)) * _MIX
        key ^= key >> _SHIFT
    return max(key, np.uint64(1))


_BOOLS, _INT32S, _INT64S, _UINT64S = (
    f"Array({name}, 1, 'C', readonly=True)" for name in ("boolean", "int32", "int64", "uint64")
)


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
        keys[i] = _key(by_stack, scope_hashes[i], around[i])
        open_ids[place] = ids[i]
        open_keys[place] = keys[i]
        open_ended[place] = has_ended[i]
    return keys, around, less


@numba.njit(
    f"Tuple((uint64[::1], int64[::1]))(boolean, {_INT64S}, {_UINT64S}, int64[::1], {_INT64S}, uint64[::1], "
    "int64[::1], int64[::1], int64, int64)",
    nogil=True,
    cache=True,
)
def _keys_of_nested(  # type: ignore[no-untyped-def]
    by_stack, begins_ns, scope_hashes, parents, ends_ns, keys, depths, covered_ns, first_ns, last_ns
):
    """The key of the span around each of the spans that begin, or `NO_KEY`; and how much of the time of that one, from
    `first_ns` to `last_ns`, it takes, which those before it have not: nothing, unless both have ended.

    `ends_ns` and what follows are of all spans, of which those that begin are the last; `parents` are places among
    them, or -1, and become those of the spans around. Keys and depths are filled in, `covered_ns` brought up to date.
    """
    count, before = len(begins_ns), len(ends_ns) - len(begins_ns)
    for i in range(count):
        parent = parents[i]
        is_inside = parent >= 0 and begins_ns[i] < ends_ns[parent]
        if is_inside and parent >= before:
            is_inside = begins_ns[parent - before] <= begins_ns[i]
        if not is_inside:
            parents[i] = -1
    around, taken_ns = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    # Of spans that begin together any may be the first, so what is around a span is looked at when it is needed.
    is_known, is_met, path = np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.empty(count, np.int64)
    for i in range(count):
        size, span = 0, i
        while not is_known[span]:
            if is_met[span]:
                # Spans that are around each other have nothing around them.
                while parents[span] >= 0:
                    outer = parents[span] - before
                    parents[span] = -1
                    span = outer
                break
            is_met[span] = True
            path[size] = span
            size += 1
            if parents[span] < before:
                break
            span = parents[span] - before
        while size > 0:
            size -= 1
            span = path[size]
            parent = parents[span]
            if parent >= 0:
                around[span] = keys[parent]
                depths[before + span] = depths[parent] + 1
            keys[before + span] = _key(by_stack, scope_hashes[span], around[span])
            is_known[span] = True
    for i in range(count):
        parent = parents[i]
        if parent >= 0 and ends_ns[before + i] != OPEN and ends_ns[parent] != OPEN:
            begin_ns = max(begins_ns[i], covered_ns[parent], first_ns)
            taken_ns[i] = max(0, min(ends_ns[before + i], ends_ns[parent], last_ns) - begin_ns)
            covered_ns[parent] = max(covered_ns[parent], ends_ns[before + i])
    return around, taken_ns
