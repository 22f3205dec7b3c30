"""Scopes: where events come from in the source, each known by a hash of its content."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.schemas import SCOPE

ScopeHashes = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]

_OFFSETS = numba.types.Array(numba.int32, 1, "C", readonly=True)
_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_LINES = numba.types.Array(numba.uint32, 1, "C", readonly=True)


@dataclass(frozen=True)
class ScopeTable:
    """Scopes, of type `schemas.SCOPE`, that events name by their row, and the hash of each."""

    scopes: pa.StructArray
    hashes: ScopeHashes

    def __len__(self) -> int:
        return len(self.scopes)

    def take(self, rows: npt.NDArray[np.int64]) -> "ScopeTable":
        """Some of the scopes."""
        return ScopeTable(self.scopes.take(pa.array(rows)), self.hashes[rows])


NO_SCOPES = ScopeTable(pa.array([], SCOPE), np.empty(0, np.uint64))


def hashed(scopes: pa.StructArray) -> ScopeTable:
    """A table of scopes without nulls, with their hashes."""
    return ScopeTable(scopes, scope_hashes(scopes))


def merged(tables: Sequence[ScopeTable]) -> tuple[ScopeTable, list[Int32s]]:
    """One table with the scopes of some, each once, in order of first appearance.

    Returns:
        the table, and for each of `tables` where its rows are in it.
    """
    hashes = np.concatenate([table.hashes for table in tables])
    encoded = pa.array(hashes).dictionary_encode()
    codes = encoded.indices.to_numpy()
    if len(tables) == 1 and len(encoded.dictionary) == len(hashes):
        return tables[0], [codes]
    first = np.empty(len(encoded.dictionary), np.int64)
    # The last of several writes stays: backwards, that is the first row of each hash.
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    scopes = pa.concat_arrays([table.scopes for table in tables]).take(pa.array(first))
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return ScopeTable(scopes, hashes[first]), np.split(codes, ends)


def scope_hashes(scope_table: pa.StructArray) -> ScopeHashes:
    """The hash of each scope of a table of type `block_format.SCOPE`, in order.

    64-bit FNV-1a over the line and each text's length and UTF-8 bytes, mixed by MurmurHash3's finalizer.
    """
    names, targets, filenames, lines = scope_table.flatten()
    hashes: ScopeHashes = _seeds(np.asarray(lines.to_numpy()))
    for text in (names, targets, filenames):
        _add_text(hashes, *text_buffers(text))
    _finish(hashes)
    return hashes


def text_hashes(texts: pa.StringArray | pa.BinaryArray) -> npt.NDArray[np.uint64]:
    """A hash of each text, made as those of scopes are."""
    hashes: npt.NDArray[np.uint64] = _seeds(np.zeros(len(texts), np.uint32))
    _add_text(hashes, *text_buffers(texts))
    _finish(hashes)
    return hashes


def text_buffers(texts: pa.StringArray | pa.BinaryArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets (one more than texts) into the bytes of all texts."""
    _, offsets, data = texts.buffers()
    if len(texts) == 0:
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    # A buffer may be longer than what it holds, by any number of bytes.
    some = np.frombuffer(offsets, np.int32, texts.offset + len(texts) + 1)[texts.offset :]
    return some, np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)


@numba.njit(numba.uint64(numba.uint64, numba.uint64), nogil=True, cache=True)
def _step(value, byte):  # type: ignore[no-untyped-def]
    return (value ^ byte) * np.uint64(0x100000001B3)


@numba.njit(numba.uint64[::1](_LINES), nogil=True, cache=True)
def _seeds(lines):  # type: ignore[no-untyped-def]
    hashes = np.empty(len(lines), np.uint64)
    for row in range(len(lines)):
        hashes[row] = _step(np.uint64(0xCBF29CE484222325), np.uint64(lines[row]))
    return hashes


@numba.njit(numba.void(numba.uint64[::1], _OFFSETS, _BYTES), nogil=True, cache=True)
def _add_text(hashes, offsets, data):  # type: ignore[no-untyped-def]
    for row in range(len(hashes)):
        # With the length, so that no two scopes read the same.
        value = _step(hashes[row], np.uint64(offsets[row + 1] - offsets[row]))
        for position in range(offsets[row], offsets[row + 1]):
            value = _step(value, np.uint64(data[position]))
        hashes[row] = value


@numba.njit(numba.void(numba.uint64[::1]), nogil=True, cache=True)
def _finish(hashes):  # type: ignore[no-untyped-def]
    """FNV leaves the lower bits poorly mixed, and SQL shows just those."""
    for row in range(len(hashes)):
        value = hashes[row]
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        hashes[row] = value ^ (value >> np.uint64(33))
