"""Compiled loops that match ends to begins: within a run of events, and across the runs of a stream.

Within a run, what stays unmatched always reads `)))(((`: some ends whose begins came before, then some begins
whose ends are still to come. Two numbers per run are therefore enough to know which run closes what.
"""

import numba
import numpy as np

# What Arrow hands over cannot be written to, and compiled code must know that.
_KINDS = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_INT64S = numba.types.Array(numba.int64, 1, "C", readonly=True)
_FLAGS = numba.types.Array(numba.boolean, 1, "C", readonly=True)
_OUT_INT64S = numba.int64[::1]
_OUT_UINT32S = numba.uint32[::1]


@numba.njit(numba.types.UniTuple(numba.int64, 2)(_KINDS), nogil=True, cache=True)
def count_unmatched(kinds):  # type: ignore[no-untyped-def]
    """(ends without begin, begins without end) of the events of one block; `kinds` as in the block format."""
    ends = 0
    begins = 0
    for kind in kinds:
        if kind == 0:
            begins += 1
        elif begins > 0:
            begins -= 1
        else:
            ends += 1
    return ends, begins


@numba.njit(
    numba.types.Tuple((_OUT_INT64S, _OUT_INT64S, _OUT_INT64S, _OUT_UINT32S, _OUT_INT64S))(_KINDS),
    nogil=True,
    cache=True,
)
def match_events(kinds):  # type: ignore[no-untyped-def]
    """Spans of one run of thread events, in order of their begins.

    Returns event indexes, one entry per span: begin, end (-1 if it is not in the run), parent's begin (-1 if it is
    not in the run), depth counted from the first event of the run; and the indexes of the ends without a begin.
    """
    span_count = 0
    for kind in kinds:
        if kind == 0:
            span_count += 1
    begins = np.empty(span_count, np.int64)
    ends = np.full(span_count, -1, np.int64)
    parents = np.empty(span_count, np.int64)
    depths = np.empty(span_count, np.uint32)
    unmatched_ends = np.empty(len(kinds) - span_count, np.int64)
    stack = np.empty(span_count, np.int64)
    span = 0
    depth = 0
    unmatched = 0
    for event in range(len(kinds)):
        if kinds[event] == 0:
            begins[span] = event
            parents[span] = begins[stack[depth - 1]] if depth > 0 else -1
            depths[span] = depth
            stack[depth] = span
            depth += 1
            span += 1
        elif depth > 0:
            depth -= 1
            ends[stack[depth]] = event
        else:
            unmatched_ends[unmatched] = event
            unmatched += 1
    return begins, ends, parents, depths, unmatched_ends[:unmatched].copy()


@numba.njit(numba.types.UniTuple(_OUT_INT64S, 2)(_INT64S, _INT64S, _INT64S, numba.int64), nogil=True, cache=True)
def fold_unmatched(ends, begins, runs, run_count):  # type: ignore[no-untyped-def]
    """Unmatched ends and begins of runs, from those of their blocks; `runs[b]` is the run of block b, ascending."""
    run_ends = np.zeros(run_count, np.int64)
    run_begins = np.zeros(run_count, np.int64)
    for block in range(len(ends)):
        run = runs[block]
        closed = min(ends[block], run_begins[run])
        run_begins[run] += begins[block] - closed
        run_ends[run] += ends[block] - closed
    return run_ends, run_begins


@numba.njit(numba.types.UniTuple(_OUT_INT64S, 6)(_FLAGS, _INT64S, _INT64S), nogil=True, cache=True)
def match_runs(follows_gap, ends, begins):  # type: ignore[no-untyped-def]
    """Which run closes what an earlier run of the same stream left open.

    Args: for each run in order, whether events were lost before it (the stack starts empty there: nobody knows what
    the lost events closed), its unmatched ends, its unmatched begins. Let O be the sum of the latter: the spans left
    open, numbered run after run.

    Returns:
        closer_run[O]: the run that holds the end of each, -1 if none does;
        closer_index[O]: which of that run's unmatched ends it is;
        parent[O]: the number of the enclosing span left open, -1 if there is none;
        start_depth[R], start_top[R]: depth at the start of each run, and the number of the innermost span there, or -1;
        orphan_ends[R]: ends of each run that close nothing.
    """
    open_count = begins.sum()
    run_count = len(ends)
    closer_run = np.full(open_count, -1, np.int64)
    closer_index = np.full(open_count, -1, np.int64)
    parent = np.full(open_count, -1, np.int64)
    start_depth = np.zeros(run_count, np.int64)
    start_top = np.full(run_count, -1, np.int64)
    orphan_ends = np.zeros(run_count, np.int64)
    stack = np.empty(open_count, np.int64)
    depth = 0
    opened = 0
    for run in range(run_count):
        if follows_gap[run]:
            depth = 0
        start_depth[run] = depth
        if depth > 0:
            start_top[run] = stack[depth - 1]
        for end in range(ends[run]):
            if depth == 0:
                orphan_ends[run] = ends[run] - end
                break
            depth -= 1
            closer_run[stack[depth]] = run
            closer_index[stack[depth]] = end
        for _ in range(begins[run]):
            if depth > 0:
                parent[opened] = stack[depth - 1]
            stack[depth] = opened
            depth += 1
            opened += 1
    return closer_run, closer_index, parent, start_depth, start_top, orphan_ends
