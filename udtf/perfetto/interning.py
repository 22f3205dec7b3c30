"""Interned ids: small numbers that stand for text in events.

Messages of logs have ids of their own, after all those that scopes may have, and keys of attributes count apart.

A scope has one id for its name and its source location. Categories, which many scopes share, count apart: they are few,
so that most of their ids take one byte. Threads share ids, so a trace defines each scope once.

The writer of the trace interns one thread after the other and puts the definitions before that thread's events; the
order of the threads thus decides the ids, whatever encodes them in parallel afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.attributes import key_at
from udtf.lake.scopes import ScopeHashes, text_hashes
from udtf.perfetto.definitions import define_categories, define_keys, define_messages, define_scopes
from udtf.perfetto.kernels import LEVEL_IID, MAX_IID, Lengths, Words, event_bodies

_MIN_SLOTS = 1 << 12
_MAX_MESSAGES = 1 << 17
"""Messages that are known at once. They are forgotten then, and defined again under other ids, so that memory does not
grow with the trace."""
_MAX_KEYS = 1 << 16
"""Keys of attributes that are known at once; as for messages."""
_GREATEST_IID = np.iinfo(np.int32).max

Int32s = npt.NDArray[np.int32]


class Bodies:
    """What all events of one kind share, as `udtf.perfetto.kernels` lays it out: row 0 for ends, the others by the id
    of the scope that begins. Grows while a trace is made."""

    def __init__(self) -> None:
        nothing = np.empty(0, np.int32)
        table, lengths = event_bodies(nothing, nothing)
        self._words: Words = table.view(np.uint64)
        self._lengths: Lengths = lengths
        self._category_iids = np.zeros(1, np.int32)
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

    @property
    def category_iids(self) -> Int32s:
        """The id of the category of each scope, by the id of the scope."""
        return self._category_iids

    def add(self, iids: Int32s, category_iids: Int32s) -> None:
        """The bodies of more scopes, whose ids follow those that are there."""
        table, lengths = event_bodies(iids, category_iids)
        needed = self._count + len(iids)
        if needed > len(self._lengths):
            room = max(2 * len(self._lengths), needed)
            self._words = np.resize(self._words, (room, self._words.shape[1]))
            self._lengths = np.resize(self._lengths, room)
            self._category_iids = np.resize(self._category_iids, room)
        self._words[self._count : needed] = table.view(np.uint64)[1:]
        self._lengths[self._count : needed] = lengths[1:]
        self._category_iids[self._count : needed] = category_iids
        self._count = needed


@dataclass(frozen=True)
class Interned:
    """The id of each scope or text of a table; `definitions` are what was new, in pieces of whole packets. They must be
    in the trace before any event that has these ids."""

    iids: Int32s
    definitions: tuple[bytes, ...]


class Interner:
    """Gives ids, from 1 on, in order of first appearance. For one caller at a time."""

    def __init__(self) -> None:
        self._scopes = _Numbers(1, MAX_IID)
        self._messages = _Numbers(MAX_IID + 1, _GREATEST_IID)
        self._keys = _Numbers(LEVEL_IID + 1, MAX_IID)
        self._categories: dict[str, int] = {}
        self.bodies = Bodies()

    def intern(self, scope_table: pa.StructArray, hashes: ScopeHashes) -> Interned:
        """Ids of the scopes of a table of type `block_format.SCOPE`, given their `scope_hashes`."""
        if len(scope_table) != len(hashes):
            raise ValueError(f"{len(scope_table)} scopes have {len(hashes)} hashes")
        iids, new_codes = self._scopes.of(hashes)
        return Interned(iids, tuple(self._define(scope_table, iids[new_codes], new_codes)) if len(new_codes) else ())

    def intern_messages(self, texts: pa.StringArray) -> Interned:
        """Ids of the messages of logs."""
        if self._messages.nb_known > _MAX_MESSAGES:
            self._messages.forget()
        iids, new_codes = self._messages.of(text_hashes(texts))
        return Interned(iids, tuple(define_messages(iids[new_codes], texts, new_codes)))

    def intern_keys(
        self, hashes: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
    ) -> Interned:
        """Ids of the keys of attributes, given their hashes and where their entries are."""
        if self._keys.nb_known > _MAX_KEYS:
            self._keys.forget()
        iids, new_entries = self._keys.of(hashes)
        if not len(new_entries):
            return Interned(iids, ())
        new = [(int(iids[entry]), key_at(data, int(positions[entry]))) for entry in new_entries]
        return Interned(iids, (define_keys(new),))

    def _define(self, scope_table: pa.StructArray, iids: Int32s, codes: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Packets that define new scopes, under the ids that follow, and those of their categories that are new."""
        _, targets, _, _ = scope_table.flatten()
        encoded = targets.take(pa.array(codes)).dictionary_encode()
        used = encoded.dictionary.to_pylist()
        new = [target for target in used if target not in self._categories]
        numbered = {target: iid for iid, target in enumerate(new, len(self._categories) + 1)}
        self._categories |= numbered
        used_iids = np.array([self._categories[target] for target in used], np.int32)
        self.bodies.add(iids, used_iids[encoded.indices.to_numpy()])
        yield from define_categories(numbered)
        yield from define_scopes(int(iids[0]), scope_table, codes)


class _Numbers:
    """Numbers what is known by a hash, from `first` to `last`, in order of first appearance."""

    def __init__(self, first: int, last: int) -> None:
        self._next = first
        self._last = last
        self.forget()

    def forget(self) -> None:
        """Number everything anew from here on."""
        self._first_known = self._next
        self._hashes = np.empty(_MIN_SLOTS, np.uint64)
        self._numbers = np.zeros(_MIN_SLOTS, np.int32)

    @property
    def nb_known(self) -> int:
        return self._next - self._first_known

    def of(self, hashes: npt.NDArray[np.uint64]) -> tuple[Int32s, npt.NDArray[np.int64]]:
        """The number of each, and which of them are new, with numbers that follow one another."""
        self._make_room(len(hashes))
        hashes = np.array(hashes, np.uint64)
        numbers = np.empty(len(hashes), np.int32)
        new_codes = np.empty(len(hashes), np.int64)
        new_count = _assign(hashes, self._hashes, self._numbers, self._next, numbers, new_codes)
        self._next += new_count
        return numbers, new_codes[:new_count]

    def _make_room(self, count: int) -> None:
        """Keeps the hash table at most half full, whatever of `count` more is new."""
        if self._next + count > self._last:
            raise OverflowError(f"a trace holds at most {self._last} different scopes or messages")
        needed = 2 * (self.nb_known + count)
        if needed <= len(self._hashes):
            return
        by_number = np.argsort(self._numbers)[len(self._numbers) - self.nb_known :]
        known = self._hashes[by_number]
        slots = 1 << (needed - 1).bit_length()
        self._hashes = np.empty(slots, np.uint64)
        self._numbers = np.zeros(slots, np.int32)
        nothing = np.empty(len(known), np.int32), np.empty(len(known), np.int64)
        _assign(known, self._hashes, self._numbers, self._first_known, *nothing)


@numba.njit("int64(uint64[::1], uint64[::1], int32[::1], int64, int32[::1], int64[::1])", nogil=True, cache=True)
def _assign(hashes, slot_hashes, slot_iids, next_iid, iids, new_codes):  # type: ignore[no-untyped-def]
    """Looks hashes up in a table with linear probing, where id 0 marks an empty slot; adds those it lacks, under ids
    from `next_iid` on.

    Fills `iids`, and `new_codes` with the index of each that was added; returns how many were.
    """
    mask = np.uint64(len(slot_hashes) - 1)
    new_count = 0
    for code in range(len(hashes)):
        slot = hashes[code] & mask
        while slot_iids[slot] != 0 and slot_hashes[slot] != hashes[code]:
            slot = (slot + np.uint64(1)) & mask
        if slot_iids[slot] == 0:
            new_codes[new_count] = code
            slot_hashes[slot] = hashes[code]
            slot_iids[slot] = next_iid + new_count
            new_count += 1
        iids[code] = slot_iids[slot]
    return new_count
