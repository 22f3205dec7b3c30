"""Arrays that a compiled loop is given by their addresses.

Numba has no list of arrays that costs nothing to make: a typed list is compiled for each type at the first use, and
takes longer to fill than a loop to read what is in it.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import carray  # type: ignore[attr-defined]
from numba.core import cgutils, types
from numba.extending import intrinsic


def address_of(array: npt.NDArray[Any]) -> int:
    """Of the first item of an array, which must be contiguous, and stay while a loop uses the address.

    Raises:
        ValueError: it is not contiguous.
    """
    if not array.flags.c_contiguous:
        raise ValueError("an array whose address is taken must be contiguous")
    return int(array.ctypes.data)


@intrinsic
def _pointer(typing_context, address):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@numba.njit(nogil=True)
def int64s_at(address, count):  # type: ignore[no-untyped-def]
    """So many 64-bit integers at an address."""
    return carray(_pointer(address), (count,), np.int64)  # type: ignore[call-arg]


@numba.njit(nogil=True)
def int32s_at(address, count):  # type: ignore[no-untyped-def]
    """So many 32-bit integers at an address."""
    return carray(_pointer(address), (count,), np.int32)  # type: ignore[call-arg]
