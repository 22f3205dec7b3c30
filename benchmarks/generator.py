"""Events of threads as numbers would have them: as many spans as asked for, nested as calls are, the same every time.

A thread runs inside one outermost span. In it, calls come in groups of `TREE_SPANS`, of every shape that so many calls
can have, about ten deep. Some places in the source are called all the time and most of them rarely; which
ones are busy differs from thread to thread. Times between events are log-normal: mostly short, now and then long, about
a minute for 20,000 spans.
"""

import numpy as np
import numpy.typing as npt

from udtf.lake.block_format import BEGIN, END, Events, Scope, scope_array

SCOPES = 2_000
TREE_SPANS = 32
MEDIAN_GAP_NS = 100_000
GAP_SIGMA = 2.3
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
    gaps_ns = random.lognormal(np.log(MEDIAN_GAP_NS), GAP_SIGMA, len(steps)).astype(np.int64)
    return Events(
        ticks=np.cumsum(gaps_ns),
        kinds=np.where(steps > 0, BEGIN, END).astype(np.uint8),
        scopes=_scopes(steps, thread, random),
        scope_table=SCOPE_TABLE,
    )


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
