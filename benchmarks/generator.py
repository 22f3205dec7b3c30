"""Events of threads as numbers would have them: as many spans as asked for, nested as calls are, the same every time.

A thread runs inside one outermost span. In it, calls come in groups of `TREE_SPANS`, of every shape that so many calls
can have, about ten deep. Some places in the source are called all the time and most of them rarely; which
ones are busy differs from thread to thread. Times between events are log-normal: mostly short, now and then long, about
a minute for 20,000 spans.

An event loop runs tasks, each one such call with all that it calls; about `TASKS_AT_ONCE` of them are under way at any
time, so their spans overlap.
"""

import numpy as np
import numpy.typing as npt

from udtf.lake.block_format import BEGIN, END, AsyncColumns, Events, Scope, scope_array
from udtf.lake.matching import match_nested

SCOPES = 2_000
TREE_SPANS = 32
MEDIAN_GAP_NS = 100_000
GAP_SIGMA = 2.3
TASKS_AT_ONCE = 20
SEED = 20_260_101

_SOURCE_FILES = 100

SCOPE_TABLE = scope_array(
    [
        Scope(
            f"stage_{place % _SOURCE_FILES}.operation_{place}",
            f"program.stage_{place % _SOURCE_FILES}",
            f"/srv/program/stage_{place % _SOURCE_FILES}.py",
            10 + place // _SOURCE_FILES * 17,
        )
        for place in range(SCOPES)
    ]
)


def thread_events(spans: int, thread: int) -> Events:
    """All events of a thread of so many spans, one at least; ticks are nanoseconds from 0 on."""
    random = np.random.default_rng([SEED, thread])
    steps = np.concatenate([_steps([1]), *_calls(spans - 1, random), _steps([-1])])
    return Events(
        ticks=np.cumsum(_gaps_ns(len(steps), random)),
        kinds=_kinds(steps),
        scopes=_scopes(steps, thread, random),
        scope_table=SCOPE_TABLE,
    )


def async_events(spans: int) -> Events:
    """All events of an event loop that ran so many spans, one at least; no two have the same tick. Spans are numbered
    from 1 on, and those that no other one is around have parent 0."""
    random = np.random.default_rng([SEED, spans])
    steps = np.concatenate(_calls(spans, random))
    kinds = _kinds(steps)
    begins, ends, depths, _ = match_nested(kinds, np.array([0, len(kinds)]))
    parents = _parents(depths)
    numbers = np.empty(len(steps), np.int64)
    numbers[begins] = numbers[ends] = np.arange(spans)
    parent_ids = np.where(parents >= 0, numbers[parents] + 1, 0)
    order, ticks = _interleaved(np.flatnonzero(np.cumsum(steps, dtype=np.int64) == 0) + 1, random)
    return Events(
        ticks=ticks,
        kinds=kinds[order],
        scopes=_scopes(steps, 0, random)[order],
        scope_table=SCOPE_TABLE,
        async_columns=AsyncColumns(numbers[order] + 1, parent_ids[numbers][order], depths[numbers][order]),
    )


def _parents(depths: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The span around each of some that are in order of their begins, or -1."""
    parents = np.full(len(depths), -1)
    for depth in range(1, int(depths.max(initial=0)) + 1):
        above = np.flatnonzero(depths == depth - 1)
        here = np.flatnonzero(depths == depth)
        parents[here] = above[np.searchsorted(above, here) - 1]
    return parents


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


def _scopes(steps: npt.NDArray[np.int8], thread: int, random: np.random.Generator) -> npt.NDArray[np.int32]:
    """One scope per event; an end has that of its begin."""
    depths = np.cumsum(steps, dtype=np.int32)
    # Of the events that enter or leave one depth, every second one leaves what the one before it entered.
    pairs = np.argsort(np.where(steps > 0, depths - 1, depths), kind="stable").reshape(-1, 2)
    ranks = np.exp(random.random(len(pairs)) * np.log(SCOPES)).astype(np.int32) - 1
    scopes = np.empty(len(steps), np.int32)
    scopes[pairs] = ((ranks + thread * 37) % SCOPES)[:, np.newaxis]
    return scopes
