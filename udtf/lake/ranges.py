"""Ranges of rows put end to end."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

_INT64S = numba.types.Array(numba.int64, 1, "C", readonly=True)
_INT32S = numba.types.Array(numba.int32, 1, "C", readonly=True)
_FLOATS = numba.types.Array(numba.float64, 1, "C", readonly=True)


def ranges(starts: Int64s, counts: Int64s) -> Int64s:
    """The numbers of ranges put end to end: from each start on so many."""
    ends = np.cumsum(counts)
    result: Int64s = np.arange(int(counts.sum())) + np.repeat(starts - (ends - counts), counts)
    return result


def gather(column: npt.NDArray[Any], starts: Int64s, counts: Int64s) -> npt.NDArray[Any]:
    """What `column[ranges(...)]` gives, without Python's lock; of a column of int64, int32 or float64."""
    out = np.empty(int(counts.sum()), column.dtype)
    _gather(column, starts, counts, out)
    return out


@numba.njit(
    [
        numba.void(_INT64S, _INT64S, _INT64S, numba.int64[::1]),
        numba.void(_INT32S, _INT64S, _INT64S, numba.int32[::1]),
        numba.void(_FLOATS, _INT64S, _INT64S, numba.float64[::1]),
    ],
    nogil=True,
    cache=True,
)
def _gather(column, starts, counts, out):  # type: ignore[no-untyped-def]
    position = 0
    for part in range(len(starts)):
        for row in range(starts[part], starts[part] + counts[part]):
            out[position] = column[row]
            position += 1
