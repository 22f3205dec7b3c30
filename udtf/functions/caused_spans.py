"""`caused_spans(process_id, stream_id, id[, begin, end])`: a span and all that it caused, in the columns of
`process_spans`: the spans inside of it, those that they are linked to in other threads and tasks, what is inside of
those, and so on.

A span is known by its stream and its id there. Links and spans count as far as they are in the range. Threads are read
twice, so that the memory for it grows with the links and the async spans, and not with the spans of threads.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.one_span import OneSpanFunction
from udtf.functions.process_spans import rows_of
from udtf.functions.table_function import Query
from udtf.functions.view_instance import parts_of, row_streams
from udtf.lake.matching import OPEN
from udtf.lake.time_range import TimeRange
from udtf.lake.view import Telemetry, View
from udtf.views.catalog import kind_named, kinds_of_spans
from udtf.views.kind import Bools, Int64s, Part
from udtf.views.spans import PROCESS_SPAN_COLUMNS, PROPERTIES, Spans, nanoseconds

_NONE = -1


class CausedSpans(OneSpanFunction):
    """See the module."""

    name = "caused_spans"
    columns = PROCESS_SPAN_COLUMNS

    def rows(
        self,
        query: Query,
        telemetry: Telemetry,
        stream_id: str,
        span_id: int,
        time_range: TimeRange,
        columns: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        search = _Search(query, telemetry, time_range, PROPERTIES.name in columns)
        yield from search.rows(stream_id, span_id)


@dataclass
class _Links:
    """Links as columns. Streams are places among those of threads, or `_NONE`; `roots` are the ids of the spans of
    threads that were caused, known between `begins_ns` and `ends_ns`."""

    streams: Int64s
    times_ns: Int64s
    span_ids: Int64s
    from_streams: Int64s
    from_ns: Int64s
    from_span_ids: Int64s

    def __post_init__(self) -> None:
        self.roots = np.full(len(self.streams), _NONE, np.int64)
        self.begins_ns = np.zeros(len(self.streams), np.int64)
        self.ends_ns = np.zeros(len(self.streams), np.int64)

    def found(self, links: Int64s, spans: Spans, places: Int64s) -> None:
        """Links are to spans at these places, unless some that began later are known."""
        is_later = spans.ids[places] > self.roots[links]
        links, places = links[is_later], places[is_later]
        self.roots[links] = spans.ids[places]
        self.begins_ns[links], self.ends_ns[links] = spans.begins_ns[places], spans.ends_ns[places]


class _Search:
    """The spans that one causes, in the telemetry of a process."""

    def __init__(self, query: Query, telemetry: Telemetry, time_range: TimeRange, with_attributes: bool) -> None:
        self._query = query
        self._telemetry = telemetry
        self._time_range = time_range
        self._with_attributes = with_attributes
        self._threads = [stream.stream_id for stream in telemetry.of_kind(kind_named("thread_spans"))]
        self._tasks = [kind for kind in kinds_of_spans("both") if kind.name != "thread_spans"]
        self._links = _Links(*(np.empty(0, np.int64) for _ in range(6)))

    def rows(self, stream_id: str, span_id: int) -> Iterator[pa.RecordBatch]:
        """Batches of what is caused, an empty one where there is nothing new yet."""
        first = self._threads.index(stream_id) if stream_id in self._threads else _NONE
        nothing = pa.RecordBatch.from_pylist([], PROCESS_SPAN_COLUMNS)
        # The span itself is what the first link is to.
        start = np.array([[first], [0], [0 if first >= 0 else span_id], [_NONE], [0], [0]])
        columns = [start]
        for part in self._parts(self._view("links")):
            yield nothing
            columns += [] if part is None else [self._columns_of(*part)]
        self._links = links = _Links(*np.concatenate(columns, axis=1))
        for part in self._parts(self._view("thread_spans")):
            yield nothing
            if part is not None:
                for stream, spans, _ in _by_stream(*part):
                    _resolve(links, stream, spans, (first, span_id))
        ids, parents = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for kind in self._tasks:
            for part in self._parts(self._view(kind.name)):
                yield nothing
                if part is not None:
                    spans = part[0].kind.spans(part[1]).columns
                    ids.append(spans.ids)
                    parents.append(spans.parents)
        is_caused, tasks = _closure(links, np.concatenate(ids), np.concatenate(parents))
        yield from self._threads_caused(is_caused)
        for kind in self._tasks:
            view = self._view(kind.name, with_attributes=self._with_attributes)
            for part in self._parts(view):
                if part is None:
                    yield nothing
                    continue
                of_part = view.kind.spans(part[1]).columns
                yield rows_of(view, _begins(part[1], np.isin(of_part.ids, tasks)))
            self._tell(view)

    def _threads_caused(self, is_caused: Bools) -> Iterator[pa.RecordBatch]:
        view = self._view("thread_spans", with_attributes=self._with_attributes)
        is_known = is_caused & (self._links.roots != _NONE)
        streams, ids = self._links.streams[is_known], self._links.roots[is_known]
        roots = {stream: ids[streams == stream] for stream in np.unique(streams).tolist()}
        open_ids: dict[int, Int64s] = {}
        for part in self._parts(view):
            if part is None:
                yield pa.RecordBatch.from_pylist([], PROCESS_SPAN_COLUMNS)
                continue
            wanted = np.zeros(len(part[1].columns), np.bool_)
            for stream, spans, rows in _by_stream(*part):
                if stream in roots:
                    known = np.concatenate((roots[stream], open_ids.get(stream, roots[stream][:0])))
                    wanted[rows] = inside = _inside(spans, known)
                    is_open = inside & (spans.ends_ns >= spans.begins_ns[-1])
                    earlier = open_ids.get(stream, roots[stream][:0])
                    open_ids[stream] = np.concatenate((earlier, spans.ids[is_open]))
            yield rows_of(view, part[1].select(wanted))
        self._tell(view)

    def _columns_of(self, view: View, part: Part[Any]) -> Int64s:
        """The columns of links."""
        places = {stream_id: place for place, stream_id in enumerate(self._threads)}
        own = np.array([places.get(stream.thread_stream_id or "", _NONE) for stream in view.streams])
        rows = part.columns.rows
        texts: pa.DictionaryArray = rows.column("from_stream_id")
        from_streams = np.array([places.get(text, _NONE) for text in texts.dictionary.to_pylist()], np.int64)
        return np.stack(
            (
                own[row_streams(view, part)],
                part.columns.times_ns,
                nanoseconds(rows.column("span_id")),
                from_streams[texts.indices.to_numpy()],
                nanoseconds(rows.column("from_time")),
                nanoseconds(rows.column("from_span_id")),
            )
        )

    def _view(self, name: str, *, with_attributes: bool = False) -> View:
        return self._query.view(kind_named(name), self._telemetry, self._time_range, with_attributes=with_attributes)

    def _parts(self, view: View) -> Iterator[tuple[View, Part[Any]] | None]:
        for part in parts_of(view, by_stream=True):
            yield None if part is None else (view, part)

    def _tell(self, view: View) -> None:
        tell_failures(self._query, view)
        tell_losses(self._query, view)


def _begins(part: Part[Any], of_spans: Bools) -> Part[Any]:
    """The rows of a part for some of its spans, where there may be rows of their ends."""
    if len(of_spans) == len(part.columns):
        return part.select(of_spans)
    wanted = np.zeros(len(part.columns), np.bool_)
    wanted[np.flatnonzero(part.columns.is_begin)[of_spans]] = True
    return part.select(wanted)


def _by_stream(view: View, part: Part[Any]) -> Iterator[tuple[int, Spans, slice]]:
    """The spans of each stream of a part, in order, and which rows of it they are."""
    streams = row_streams(view, part)
    starts = np.flatnonzero(np.diff(streams, prepend=_NONE))
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(streams)], strict=True):
        yield int(streams[begin]), part.columns.take(np.arange(begin, end)), slice(begin, end)


def _places_of(ids: Int64s, wanted: Int64s) -> Int64s:
    """Where these are among ids, which ascend; or `_NONE`."""
    places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    found: Int64s = np.where(ids[places] == wanted, places, _NONE)
    return found


def _resolve(links: _Links, stream: int, spans: Spans, start: tuple[int, int]) -> None:
    """Find the innermost of these spans of a thread at the times of links to it: the last to begin of those that have
    begun by then, and have not ended before."""
    if stream == start[0]:
        here = _places_of(spans.ids, np.array([start[1]]))
        if here[0] != _NONE:
            links.found(np.array([0]), spans, here)
    mine = np.flatnonzero((links.streams == stream) & (links.span_ids == 0))
    mine = mine[mine > 0] if stream == start[0] else mine
    latest = np.searchsorted(spans.begins_ns, links.times_ns[mine], side="right") - 1
    # What events that were lost have left open is around nothing, and never ends.
    is_open = np.where(spans.ends_ns == OPEN, np.arange(len(spans)), _NONE)
    places, unfinished = latest.copy(), np.append(np.maximum.accumulate(is_open), _NONE)[latest]
    while np.any(is_over := (places != _NONE) & (spans.ends_ns[places] < links.times_ns[mine])):
        places[is_over] = _places_of(spans.ids, spans.parents[places[is_over]])
    places = np.maximum(places, unfinished)
    links.found(mine[places != _NONE], spans, places[places != _NONE])


def _inside(spans: Spans, roots: Int64s) -> Bools:
    """Which spans of a thread are one of these, or inside of one."""
    inside: Bools = np.isin(spans.ids, roots) | np.isin(spans.parents, roots)
    around = _places_of(spans.ids, spans.parents)
    around = np.where(around == _NONE, np.arange(len(around)), around)
    # Each time twice as far out.
    while True:
        known = inside | inside[around]
        further = around[around]
        if np.array_equal(known, inside) and np.array_equal(further, around):
            return inside
        inside, around = known, further


def _closure(links: _Links, ids: Int64s, parents: Int64s) -> tuple[Bools, Int64s]:
    """Which links are caused, the first one being so, and the ids of the async spans that are."""
    is_caused = np.zeros(len(links.streams), np.bool_)
    is_caused[0] = True
    new = np.array([0])
    tasks: npt.NDArray[np.int64] = np.empty(0, np.int64)
    while len(new):
        more = links.span_ids[new]
        more = more[more != 0]
        while len(more):
            tasks = np.concatenate((tasks, more))
            more = np.setdiff1d(ids[np.isin(parents, more)], tasks)
        reached = (links.from_span_ids != 0) & np.isin(links.from_span_ids, tasks)
        for stream in np.unique(links.streams[new[links.roots[new] != _NONE]]).tolist():
            roots = new[(links.streams[new] == stream) & (links.roots[new] != _NONE)]
            from_here = np.flatnonzero(links.from_streams == stream)
            order = roots[np.argsort(links.begins_ns[roots], kind="stable")]
            # Of the spans that begin before a time, whether any goes on until then.
            latest = np.maximum.accumulate(links.ends_ns[order])
            last = np.searchsorted(links.begins_ns[order], links.from_ns[from_here], side="right") - 1
            reached[from_here] |= (last >= 0) & (latest[last] >= links.from_ns[from_here])
        new = np.flatnonzero(reached & ~is_caused)
        is_caused[new] = True
    return is_caused, tasks
