"""Events of threads as numbers would have them: as many spans as asked for, nested as calls are, the same every time.

A thread runs inside one outermost span. In it, calls come in groups of `TREE_SPANS`, of every shape that so many calls
can have, about ten deep. Some places in the source are called all the time and most of them rarely; which
ones are busy differs from thread to thread. Times between events are log-normal: mostly short, now and then long, about
a minute for 20,000 spans.

A thread that is recorded steadily (`steady_thread_events`) has the same calls, and as many events in each interval of a
fixed length, so that a sender that sends at these intervals sends blocks of that many events. Most blocks begin and end
within calls.

An event loop runs tasks, each one such call with all that it calls; about `TASKS_AT_ONCE` of them are under way at any
time, so their spans overlap.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SCOPES = 2_000
TREE_SPANS = 32
MEDIAN_GAP_NS = 100_000
GAP_SIGMA = 2.3
TASKS_AT_ONCE = 20
SEED = 20_260_101

BEGIN = 0
END = 1

_SOURCE_FILES = 100


class Place(NamedTuple):
    """A place in the source whose calls are spans."""

    name: str
    target: str
    filename: str
    line: int


PLACES = tuple(
    Place(
        f"stage_{place % _SOURCE_FILES}.operation_{place}",
        f"program.stage_{place % _SOURCE_FILES}",
        f"/srv/program/stage_{place % _SOURCE_FILES}.py",
        10 + place // _SOURCE_FILES * 17,
    )
    for place in range(SCOPES)
)


@dataclass(frozen=True)
class AsyncColumns:
    """What events of async spans have besides, one entry an event. The parent of a span that none is around is 0."""

    span_ids: npt.NDArray[np.int64]
    parent_span_ids: npt.NDArray[np.int64]
    depths: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Events:
    """Events of one stream as columns of equal length: ticks (nanoseconds from the start of the process, never
    decreasing), kinds (`BEGIN` or `END`) and scopes (indexes into `PLACES`)."""

    ticks: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    scopes: npt.NDArray[np.int32]
    async_columns: AsyncColumns | None = None

    def __len__(self) -> int:
        return len(self.ticks)

    def part(self, begin: int, end: int) -> "Events":
        """The events from index `begin` to before index `end`; they share the memory of these."""
        columns = self.async_columns
        return Events(
            self.ticks[begin:end],
            self.kinds[begin:end],
            self.scopes[begin:end],
            columns
            and AsyncColumns(
                columns.span_ids[begin:end], columns.parent_span_ids[begin:end], columns.depths[begin:end]
            ),
        )

    def later(self, ns: int) -> "Events":
        """The same events, so many nanoseconds later."""
        return replace(self, ticks=self.ticks + ns)


def thread_events(spans: int, thread: int) -> Events:
    """All events of a thread of so many spans, one at least; ticks are nanoseconds from 0 on."""
    random = np.random.default_rng([SEED, thread])
    steps = _thread_steps(spans, random)
    return Events(np.cumsum(_gaps_ns(len(steps), random)), _kinds(steps), _scopes(steps, thread, random))


def steady_thread_events(intervals: int, spans_per_interval: int, interval_ns: int, thread: int) -> Events:
    """All events of a thread that is recorded steadily: `2 * spans_per_interval` events in each interval. Interval k
    has the ticks from `k * interval_ns` on, before `(k + 1) * interval_ns`."""
    random = np.random.default_rng([SEED, thread])
    steps = _thread_steps(intervals * spans_per_interval, random)
    gaps_ns = _gaps_ns(intervals * (2 * spans_per_interval + 1), random).reshape(intervals, -1) + 1
    elapsed_ns = np.cumsum(gaps_ns, axis=1, dtype=np.float64)
    offsets_ns = (elapsed_ns[:, :-1] * (interval_ns / elapsed_ns[:, -1:])).astype(np.int64)
    begins_ns = np.arange(intervals, dtype=np.int64)[:, np.newaxis] * interval_ns
    ticks = begins_ns + np.minimum(offsets_ns, interval_ns - 1)
    return Events(ticks.ravel(), _kinds(steps), _scopes(steps, thread, random))


def async_events(spans: int) -> Events:
    """All events of an event loop that ran so many spans, one at least; no two have the same tick. Spans are numbered
    from 1 on, and those that no other one is around have parent 0."""
    random = np.random.default_rng([SEED, spans])
    steps = np.concatenate(_calls(spans, random))
    begins, ends, parents, depths = _nesting(steps)
    numbers = np.empty(len(steps), np.int64)
    numbers[begins] = numbers[ends] = np.arange(spans)
    order, ticks = _interleaved(np.flatnonzero(np.cumsum(steps, dtype=np.int64) == 0) + 1, random)
    return Events(
        ticks=ticks,
        kinds=_kinds(steps)[order],
        scopes=_scopes(steps, 0, random)[order],
        async_columns=AsyncColumns(
            numbers[order] + 1, (parents + 1)[numbers][order], depths.astype(np.uint32)[numbers][order]
        ),
    )


def _interleaved(
    task_ends: npt.NDArray[np.int64], random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Events of tasks that run at once: their order, and their ticks in that order.

    Args:
        task_ends: where the events of each task end that follow one another.
    """
    events = int(task_ends[-1])
    gaps_ns = _gaps_ns(events, random)
    starts_ns = np.sort(random.integers(0, gaps_ns.sum() // TASKS_AT_ONCE + 1, len(task_ends)))
    sizes = np.diff(task_ends, prepend=0)
    elapsed_ns = np.cumsum(gaps_ns)
    before_ns = np.concatenate(([0], elapsed_ns[task_ends[:-1] - 1]))
    times_ns = elapsed_ns + np.repeat(starts_ns - before_ns, sizes)
    order = np.argsort(times_ns, kind="stable")
    places = np.arange(events)
    return order, np.maximum.accumulate(times_ns[order] - places) + places


def _gaps_ns(events: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    return random.lognormal(np.log(MEDIAN_GAP_NS), GAP_SIGMA, events).astype(np.int64)


def _kinds(steps: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    return np.where(steps > 0, BEGIN, END).astype(np.uint8)


def _steps(values: list[int]) -> npt.NDArray[np.int8]:
    return np.array(values, np.int8)


def _thread_steps(spans: int, random: np.random.Generator) -> npt.NDArray[np.int8]:
    """Of a thread that runs inside one outermost span."""
    return np.concatenate([_steps([1]), *_calls(spans - 1, random), _steps([-1])])


def _calls(spans: int, random: np.random.Generator) -> list[npt.NDArray[np.int8]]:
    """Steps down into calls (1) and out of them (-1)."""
    groups, rest = divmod(spans, TREE_SPANS)
    calls = [_groups(groups, TREE_SPANS, random)]
    if rest:
        calls.append(_groups(1, rest, random))
    return calls


def _groups(groups: int, spans: int, random: np.random.Generator) -> npt.NDArray[np.int8]:
    """Any order of as many steps in as out, begun right behind its lowest point, goes never below its start."""
    steps = np.tile(np.repeat(_steps([1, -1]), spans), (groups, 1))
    random.permuted(steps, axis=1, out=steps)
    lowest = np.cumsum(steps, axis=1, dtype=np.int32).argmin(axis=1)
    turned = (np.arange(2 * spans) + lowest[:, np.newaxis] + 1) % (2 * spans)
    return np.take_along_axis(steps, turned, axis=1).ravel()


def _pairs(steps: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Indexes of the two events of each span, begin and end, one row a span, ordered by depth and then by begin.

    Of the events that enter or leave one depth, every second one leaves what the one before it entered.
    """
    return np.argsort(_depths(steps), kind="stable").reshape(-1, 2)


def _depths(steps: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """For each event, how many spans are around the span that it begins or ends."""
    depths = np.cumsum(steps, dtype=np.int32)
    return np.where(steps > 0, depths - 1, depths)


def _nesting(
    steps: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Spans in order of their begins: the indexes of their begins and ends, the number of the span around each
    (-1 where there is none), and how many are around it."""
    pairs = _pairs(steps)
    begins, ends = pairs[np.argsort(pairs[:, 0])].T
    depths = _depths(steps)[begins]
    parents = np.full(len(begins), -1, np.int64)
    outer = np.flatnonzero(depths == 0)
    for depth in range(1, int(depths.max()) + 1):
        inner = np.flatnonzero(depths == depth)
        parents[inner] = outer[np.searchsorted(outer, inner) - 1]
        outer = inner
    return begins, ends, parents, depths


def _scopes(steps: npt.NDArray[np.int8], thread: int, random: np.random.Generator) -> npt.NDArray[np.int32]:
    """One scope per event; an end has that of its begin."""
    pairs = _pairs(steps)
    ranks = np.exp(random.random(len(pairs)) * np.log(SCOPES)).astype(np.int32) - 1
    scopes = np.empty(len(steps), np.int32)
    scopes[pairs] = ((ranks + thread * 37) % SCOPES)[:, np.newaxis]
    return scopes
