"""Compiled loops that match ends to begins, within runs of events and across them."""

import numba
import numpy as np

# What Arrow hands over cannot be written to, and compiled code must know that.
_KINDS = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_INT64S = numba.types.Array(numba.int64, 1, "C", readonly=True)
_INT32S = numba.types.Array(numba.int32, 1, "C", readonly=True)
_BITS = _KINDS
_FLAGS = numba.types.Array(numba.boolean, 1, "C", readonly=True)
_OUT_INT64S = numba.int64[::1]
_OUT_INT32S = numba.int32[::1]

BEGIN = 0
END = 1
OPEN = np.iinfo(np.int64).max
"""In place of a time or ordinal that is not known: the span has not ended."""
NONE = -1


@numba.njit(numba.int64(_INT64S, _INT64S), nogil=True, cache=True)
def first_decrease(values, bounds):  # type: ignore[no-untyped-def]
    """The first position whose value is less than the one before it in the same range, or -1; range r is from
    `bounds[r]` to `bounds[r + 1]`."""
    for r in range(len(bounds) - 1):
        for i in range(bounds[r] + 1, bounds[r + 1]):
            if values[i] < values[i - 1]:
                return i
    return -1


@numba.njit(numba.types.Tuple((_OUT_INT64S, _OUT_INT64S, _OUT_INT32S))(_KINDS, _INT64S), nogil=True, cache=True)
def match_nested(kinds, bounds):  # type: ignore[no-untyped-def]
    """Spans of runs of events that nest as calls do, in order of their begins. Nothing is open when a run starts.

    Returns, one entry a span: the position of its begin, that of its end (-1 if it is not in the run), and how many
    spans of the run it is in.
    """
    span_count = 0
    for kind in kinds:
        if kind == 0:
            span_count += 1
    begins = np.empty(span_count, np.int64)
    ends = np.full(span_count, -1, np.int64)
    depths = np.empty(span_count, np.int32)
    stack = np.empty(span_count, np.int64)
    span = 0
    for run in range(len(bounds) - 1):
        depth = 0
        for event in range(bounds[run], bounds[run + 1]):
            if kinds[event] == 0:
                begins[span] = event
                depths[span] = depth
                stack[depth] = span
                depth += 1
                span += 1
            elif depth > 0:
                depth -= 1
                ends[stack[depth]] = event
    return begins, ends, depths


@numba.njit(
    numba.types.Tuple((_OUT_INT64S, _OUT_INT64S, _OUT_INT32S, _OUT_INT32S, _OUT_INT64S))(_KINDS, _INT64S, _FLAGS),
    nogil=True,
    cache=True,
)
def match_loose(kinds, bounds, follows):  # type: ignore[no-untyped-def]
    """Match the loose events of runs, which are in order; the spans that are open when a run ends are open when the
    next one starts if that `follows` it.

    Returns:
        other: for each event the position of its other half, or -1;
        around: for each begin the begin of the span around it, or -1;
        depth: for each begin how many spans are around it;
        start_depth, start_top: for each run how many spans are open when it starts, and the begin of the innermost, or
        -1.
    """
    other = np.full(len(kinds), -1, np.int64)
    around = np.full(len(kinds), -1, np.int64)
    depths = np.zeros(len(kinds), np.int32)
    start_depth = np.zeros(len(bounds) - 1, np.int32)
    start_top = np.full(len(bounds) - 1, -1, np.int64)
    stack = np.empty(len(kinds), np.int64)
    depth = 0
    for run in range(len(bounds) - 1):
        if not follows[run]:
            depth = 0
        start_depth[run] = depth
        if depth > 0:
            start_top[run] = stack[depth - 1]
        for event in range(bounds[run], bounds[run + 1]):
            if kinds[event] == 0:
                if depth > 0:
                    around[event] = stack[depth - 1]
                depths[event] = depth
                stack[depth] = event
                depth += 1
            elif depth > 0:
                depth -= 1
                other[event] = stack[depth]
                other[stack[depth]] = event
    return other, around, depths, start_depth, start_top


@numba.njit(
    numba.types.Tuple((_OUT_INT32S, _OUT_INT64S, _OUT_INT64S))(
        _INT64S, _INT32S, _INT64S, _BITS, numba.int64,  # rows: ids, depths, ends, validity of ends and its offset
        _INT64S, _INT64S,  # bounds of runs; which run of the loose events each is
        _INT64S, _KINDS, _INT64S, _INT64S, _INT64S,  # loose events: ordinals, kinds, bounds, ends of begins, around
        _INT32S, _INT64S,  # start_depth, start_top
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def complete_nested(  # type: ignore[no-untyped-def]
    ids,
    depths,
    ends,
    valid,
    offset,
    bounds,
    runs,
    ordinals,
    kinds,
    loose_bounds,
    ends_ns,
    around,
    start_depth,
    start_top,
):
    """Complete the spans of a partition, which knows them as `match_nested` does, by what lies outside of its runs.

    `valid` is an Arrow bitmap of the ends, from bit `offset` on, or empty if all are valid.

    Returns, one entry a span: its depth, counted from the outermost span of the stream; its end, `OPEN` if there is
    none; the id of the span around it, `NONE` if there is none.
    """
    all_depths = np.empty(len(ids), np.int32)
    all_ends = np.empty(len(ids), np.int64)
    parents = np.empty(len(ids), np.int64)
    deepest = 0
    for depth in depths:
        deepest = max(deepest, depth)
    enclosing = np.empty(deepest + 1, np.int64)
    for part in range(len(runs)):
        run = runs[part]
        top = start_top[run]
        open_before = start_depth[run]
        loose = loose_bounds[run]
        last_loose = loose_bounds[run + 1]
        for row in range(bounds[part], bounds[part + 1]):
            bit = offset + row
            end = ends[row] if len(valid) == 0 or valid[bit >> 3] >> (bit & 7) & 1 else OPEN
            while loose < last_loose and ordinals[loose] <= ids[row]:
                if kinds[loose] == 0:
                    end = ends_ns[loose]
                elif open_before > 0:
                    open_before -= 1
                    top = around[top]
                loose += 1
            all_ends[row] = end
            depth = depths[row]
            enclosing[depth] = ids[row]
            if depth > 0:
                parents[row] = enclosing[depth - 1]
            elif open_before > 0:
                parents[row] = ordinals[top]
            else:
                parents[row] = NONE
            all_depths[row] = depth + open_before
    return all_depths, all_ends, parents


@numba.njit(_OUT_INT64S(_INT64S, _FLAGS, _FLAGS), nogil=True, cache=True)
def match_by_id(order, starts, is_begin):  # type: ignore[no-untyped-def]
    """Match begins and ends of equal ids.

    Should an id be used again before it has ended, the innermost begin is the one that ends: as with nesting, it then
    does not matter in which steps events are matched.

    Args:
        order: positions of the events by id, and for one id in their order.
        starts: for each entry of `order`, whether it is the first of its id.
        is_begin: for each event.

    Returns:
        for each event the position of its other half, or -1.
    """
    other = np.full(len(order), -1, np.int64)
    stack = np.empty(len(order), np.int64)
    depth = 0
    for entry in range(len(order)):
        event = order[entry]
        if starts[entry]:
            depth = 0
        if is_begin[event]:
            stack[depth] = event
            depth += 1
        elif depth > 0:
            depth -= 1
            other[event] = stack[depth]
            other[stack[depth]] = event
    return other
