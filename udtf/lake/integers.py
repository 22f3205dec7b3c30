"""Columns of integers in fewer bytes than their type has: in a narrower type, or as the steps from value to value.

LZ4 of the plain columns of events is no smaller, and takes several times as long to write.
"""

import numba
import numpy as np
import pyarrow as pa

_INT64S = numba.types.Array(numba.int64, 1, "C", readonly=True)
_UINT32S = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_OUT_INT64S = numba.int64[::1]
_OUT_UINT32S = numba.uint32[::1]

_NARROW = (pa.uint8(), pa.uint16(), pa.uint32())
_MAX_JUMPS_SHARE = 16
"""Steps are used if at most one of so many values needs more than 32 bits."""


def shrink(column: pa.Array) -> dict[str, pa.Array]:
    """The parts of a column of integers without nulls, by names that `restore` knows."""
    values = column.to_numpy()
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for narrow in _NARROW:
        if narrow.bit_width < column.type.bit_width and low >= 0 and high < 1 << narrow.bit_width:
            return {"values": pa.array(values.astype(narrow.to_pandas_dtype()))}
    if column.type == pa.int64():
        steps, jumps, after = _to_steps(values)
        if len(jumps) <= len(values) // _MAX_JUMPS_SHARE:
            return {"steps": pa.array(steps), "jumps": pa.array(jumps), "after": pa.array(after)}
    return {"values": column}


def restore(parts: dict[str, pa.Array], integer: pa.DataType) -> pa.Array:
    """The column of a type that `shrink` made these parts of."""
    if "steps" in parts:
        return pa.array(_from_steps(*(parts[name].to_numpy() for name in ("steps", "jumps", "after"))))
    return pa.array(parts["values"].to_numpy().astype(integer.to_pandas_dtype(), copy=False))


@numba.njit(numba.types.Tuple((_OUT_UINT32S, _OUT_INT64S, _OUT_INT64S))(_INT64S), nogil=True, cache=True)
def _to_steps(values):  # type: ignore[no-untyped-def]
    """The step to each value from the one before it, and the positions and values where that is no 32-bit number."""
    steps = np.zeros(len(values), np.uint32)
    jumps = np.empty(len(values), np.int64)
    nb_jumps = 0
    for i in range(len(values)):
        # Where a difference overflows, it is a jump as well: it is negative, or the value is less than the one before.
        step = values[i] - values[i - 1] if i > 0 else np.int64(-1)
        if 0 <= step <= 0xFFFFFFFF and values[i] >= values[i - 1]:
            steps[i] = step
        else:
            jumps[nb_jumps] = i
            nb_jumps += 1
    jumps = jumps[:nb_jumps].copy()
    return steps, jumps, values[jumps]


@numba.njit(_OUT_INT64S(_UINT32S, _INT64S, _INT64S), nogil=True, cache=True)
def _from_steps(steps, jumps, after):  # type: ignore[no-untyped-def]
    values = np.empty(len(steps), np.int64)
    value = np.int64(0)
    jump = 0
    for i in range(len(steps)):
        if jump < len(jumps) and jumps[jump] == i:
            value = after[jump]
            jump += 1
        else:
            value += np.int64(steps[i])
        values[i] = value
    return values
