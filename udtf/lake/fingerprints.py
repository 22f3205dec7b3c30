"""Fingerprints of blocks: numbers by which events are known when they are sent again, however they are packed."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.attributes import has_some
from udtf.lake.events import SCOPE, Events
from udtf.lake.schemas import ATTRIBUTES
from udtf.lake.scopes import text_hashes

Int64s = npt.NDArray[np.int64]

_INT64S = numba.types.Array(numba.int64, 1, "C", readonly=True)
_UINT64S = numba.types.Array(numba.uint64, 1, "C", readonly=True)


def fingerprints(events: Events, bounds: Int64s) -> Int64s:
    """One for each block, of which block b has the events from `bounds[b]` to `bounds[b + 1]`.

    Columns are folded one after the other: multiply, rotate, and in the end the finalizer of MurmurHash3. Attributes
    count in blocks that have some: whether there is a column of them depends on the other blocks.
    """
    folded = np.zeros(len(bounds) - 1, np.uint64)
    for name in events.rows.schema.names:
        if name != ATTRIBUTES.name:
            _fold(folded, _numbers(events, name), bounds)
    attributes = events.attributes
    if attributes is not None:
        positions = np.flatnonzero(has_some(attributes))
        _fold_some(folded, positions, text_hashes(attributes)[positions], bounds)
    _finish(folded)
    return folded.view(np.int64)


def _numbers(events: Events, name: str) -> Any:
    """A column as numbers that are equal where its values are."""
    column = events.rows.column(name)
    if name == SCOPE:
        return events.scopes.hashes[column.to_numpy()]
    if pa.types.is_integer(column.type):
        return np.ascontiguousarray(column.to_numpy()).astype(np.int64).view(np.uint64)
    if pa.types.is_floating(column.type):
        return np.ascontiguousarray(column.to_numpy().astype(np.float64)).view(np.uint64)
    if pa.types.is_dictionary(column.type):
        return text_hashes(column.dictionary.cast(pa.utf8()))[column.indices.to_numpy()]
    return text_hashes(column.cast(pa.utf8()))


@numba.njit(numba.void(numba.uint64[::1], _UINT64S, _INT64S), nogil=True, cache=True)
def _fold(folded, numbers, bounds):  # type: ignore[no-untyped-def]
    for block in range(len(folded)):
        value = folded[block] ^ np.uint64(0x9E3779B97F4A7C15)
        for event in range(bounds[block], bounds[block + 1]):
            value = (value ^ numbers[event]) * np.uint64(0x9FB21C651E98DF25)
            value = (value << np.uint64(29)) | (value >> np.uint64(35))
        folded[block] = value


@numba.njit(numba.void(numba.uint64[::1], _INT64S, _UINT64S, _INT64S), nogil=True, cache=True)
def _fold_some(folded, positions, numbers, bounds):  # type: ignore[no-untyped-def]
    """The numbers of some events, whose positions ascend, and where they are in their blocks."""
    block = 0
    for i in range(len(positions)):
        while positions[i] >= bounds[block + 1]:
            block += 1
        value = (folded[block] ^ np.uint64(positions[i] - bounds[block])) * np.uint64(0x9FB21C651E98DF25)
        value = (value ^ (value >> np.uint64(32)) ^ numbers[i]) * np.uint64(0x9FB21C651E98DF25)
        folded[block] = (value << np.uint64(29)) | (value >> np.uint64(35))


@numba.njit(numba.void(numba.uint64[::1]), nogil=True, cache=True)
def _finish(folded):  # type: ignore[no-untyped-def]
    for block in range(len(folded)):
        value = folded[block]
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        folded[block] = value ^ (value >> np.uint64(33))
