"""Interned ids: small numbers that stand for text in events.

A scope has one id for its name and its source location. Categories, which many scopes share, count apart: they are few,
so that most of their ids take one byte. Threads share ids, so a trace defines each scope once.

Whoever writes the trace interns one thread after the other and puts the definitions before that thread's events; the
order of the threads thus decides the ids, whatever encodes them in parallel afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.scopes import ScopeHashes
from udtf.perfetto.definitions import define_categories, define_scopes
from udtf.perfetto.kernels import MAX_IID, Lengths, Words, event_bodies

_MIN_SLOTS = 1 << 12

Int32s = npt.NDArray[np.int32]


class Bodies:
    """What all events of one kind share, as `udtf.perfetto.kernels` lays it out: row 0 for ends, the others by the id
    of the scope that begins. Grows while a trace is made."""

    def __init__(self) -> None:
        nothing = np.empty(0, np.int32)
        table, lengths = event_bodies(nothing, nothing)
        self._words: Words = table.view(np.uint64)
        self._lengths: Lengths = lengths
        self._count = 1

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def words(self) -> Words:
        return self._words

    @property
    def lengths(self) -> Lengths:
        return self._lengths

    def add(self, iids: Int32s, category_iids: Int32s) -> None:
        """The bodies of more scopes, whose ids follow those that are there."""
        table, lengths = event_bodies(iids, category_iids)
        needed = self._count + len(iids)
        if needed > len(self._lengths):
            room = max(2 * len(self._lengths), needed)
            self._words = np.resize(self._words, (room, self._words.shape[1]))
            self._lengths = np.resize(self._lengths, room)
        self._words[self._count : needed] = table.view(np.uint64)[1:]
        self._lengths[self._count : needed] = lengths[1:]
        self._count = needed


@dataclass(frozen=True)
class InternedScopes:
    """The id of each scope of a table; `definitions` are what was new, in pieces of whole packets. They must be in the
    trace before any event of these scopes."""

    iids: Int32s
    definitions: tuple[bytes, ...]


class Interner:
    """Gives ids, from 1 on, in order of first appearance. For one caller at a time."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.empty(_MIN_SLOTS, np.uint64)
        self._iids = np.zeros(_MIN_SLOTS, np.int32)
        self._categories: dict[str, int] = {}
        self.bodies = Bodies()

    def intern(self, scope_table: pa.StructArray, hashes: ScopeHashes) -> InternedScopes:
        """Ids of the scopes of a table of type `block_format.SCOPE`, given their `scope_hashes`."""
        if len(scope_table) != len(hashes):
            raise ValueError(f"{len(scope_table)} scopes have {len(hashes)} hashes")
        self._make_room(len(hashes))
        hashes = np.array(hashes, np.uint64)
        iids = np.empty(len(hashes), np.int32)
        new_codes = np.empty(len(hashes), np.int64)
        new_count = _assign(hashes, self._hashes, self._iids, self._count, iids, new_codes)
        definitions: tuple[bytes, ...] = ()
        if new_count:
            definitions = tuple(self._define(scope_table, new_codes[:new_count]))
        return InternedScopes(iids, definitions)

    def _define(self, scope_table: pa.StructArray, codes: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Packets that define new scopes, under the next ids, and those of their categories that are new."""
        _, targets, _, _ = scope_table.flatten()
        encoded = targets.take(pa.array(codes)).dictionary_encode()
        used = encoded.dictionary.to_pylist()
        new = [target for target in used if target not in self._categories]
        numbered = {target: iid for iid, target in enumerate(new, len(self._categories) + 1)}
        self._categories |= numbered
        used_iids = np.array([self._categories[target] for target in used], np.int32)
        iids = np.arange(self._count + 1, self._count + 1 + len(codes), dtype=np.int32)
        self.bodies.add(iids, used_iids[encoded.indices.to_numpy()])
        yield from define_categories(numbered)
        yield from define_scopes(self._count + 1, scope_table, codes)
        self._count += len(codes)

    def _make_room(self, count: int) -> None:
        """Keeps the hash table at most half full, whatever of `count` more scopes is new."""
        needed = 2 * (self._count + count)
        if needed <= len(self._hashes):
            return
        if needed > MAX_IID:
            raise OverflowError(f"a trace holds at most {MAX_IID // 2} different scopes")
        by_iid = np.argsort(self._iids)[len(self._iids) - self._count :]
        known = self._hashes[by_iid]
        slots = 1 << (needed - 1).bit_length()
        self._hashes = np.empty(slots, np.uint64)
        self._iids = np.zeros(slots, np.int32)
        _assign(known, self._hashes, self._iids, 0, np.empty(self._count, np.int32), np.empty(self._count, np.int64))


@numba.njit("int64(uint64[::1], uint64[::1], int32[::1], int64, int32[::1], int64[::1])", nogil=True, cache=True)
def _assign(hashes, slot_hashes, slot_iids, count, iids, new_codes):  # type: ignore[no-untyped-def]
    """Looks scopes up in a hash table with linear probing, where id 0 marks an empty slot; adds those it lacks.

    Fills `iids`, and `new_codes` with the index of each scope that was added; returns how many were, on top of `count`.
    """
    mask = np.uint64(len(slot_hashes) - 1)
    new_count = 0
    for code in range(len(hashes)):
        slot = hashes[code] & mask
        while slot_iids[slot] != 0 and slot_hashes[slot] != hashes[code]:
            slot = (slot + np.uint64(1)) & mask
        if slot_iids[slot] == 0:
            new_codes[new_count] = code
            new_count += 1
            slot_hashes[slot] = hashes[code]
            slot_iids[slot] = count + new_count
        iids[code] = slot_iids[slot]
    return new_count
