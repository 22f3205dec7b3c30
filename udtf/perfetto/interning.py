"""Interned ids of scopes: small numbers that stand for name, category and source location of a slice alike.

Threads share ids, so a trace defines each scope once. Whoever writes the trace interns one thread after the other and
puts the definitions before that thread's events; the order of the threads thus decides the ids, whatever encodes
them in parallel afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.scopes import ScopeHashes
from udtf.perfetto.kernels import MAX_IID, SEQUENCE_ID, TRACK_FIELD_BYTES, Lengths, Words, event_bodies
from udtf.perfetto.messages import Trace, TracePacket

_SCOPES_PER_PACKET = 1000
_MIN_SLOTS = 1 << 12


@dataclass(frozen=True)
class Bodies:
    """What all events of one kind share, as `udtf.perfetto.kernels` lays it out."""

    words: Words
    lengths: Lengths

    @classmethod
    def of(cls, iids: npt.NDArray[np.int32], track_bytes: int) -> "Bodies":
        table, lengths = event_bodies(iids, track_bytes)
        return cls(table.view(np.uint64), lengths)


END_BODIES = Bodies.of(np.empty(0, np.int32), 0)
"""For ends on the default track, whatever the scopes were."""


@dataclass(frozen=True)
class InternedScopes:
    """A scope table with its ids.

    `iids` has one entry per code; `definitions` are the packets of the scopes that were new, in pieces of whole
    packets. They must be in the trace before any event of these scopes.
    """

    iids: npt.NDArray[np.int32]
    definitions: tuple[bytes, ...]

    @cached_property
    def bodies(self) -> Bodies:
        """For events on the default track."""
        return Bodies.of(self.iids, 0)

    @cached_property
    def lane_bodies(self) -> Bodies:
        """For events that name their lane."""
        return Bodies.of(self.iids, TRACK_FIELD_BYTES)


class Interner:
    """Gives ids, from 1 on, in order of first appearance. For one caller at a time."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.empty(_MIN_SLOTS, np.uint64)
        self._iids = np.zeros(_MIN_SLOTS, np.int32)

    def intern(self, scope_table: pa.StructArray, hashes: ScopeHashes) -> InternedScopes:
        """Ids of the scopes of a table of type `block_format.SCOPE`, given their `scope_hashes`."""
        if len(scope_table) != len(hashes):
            raise ValueError(f"{len(scope_table)} scopes have {len(hashes)} hashes")
        self._make_room(len(hashes))
        hashes = np.array(hashes, np.uint64)
        iids = np.empty(len(hashes), np.int32)
        new_codes = np.empty(len(hashes), np.int64)
        new_count = _assign(hashes, self._hashes, self._iids, self._count, iids, new_codes)
        first_iid = self._count + 1
        self._count += new_count
        definitions = tuple(_definitions(scope_table.take(pa.array(new_codes[:new_count])), first_iid))
        return InternedScopes(iids, definitions)

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


def _definitions(scopes: pa.StructArray, first_iid: int) -> Iterator[bytes]:
    """Packets that define name, category and source location of scopes, under ids from `first_iid` on."""
    for offset in range(0, len(scopes), _SCOPES_PER_PACKET):
        some = scopes.slice(offset, _SCOPES_PER_PACKET)
        iids = range(first_iid + offset, first_iid + offset + len(some))
        columns = [some.field(name).to_pylist() for name in ("name", "target", "filename", "line")]
        trace = Trace()
        packet = trace.packet.add()
        packet.trusted_packet_sequence_id = SEQUENCE_ID
        packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        data = packet.interned_data
        add_name, add_category, add_location = (
            data.event_names.add,
            data.event_categories.add,
            data.source_locations.add,
        )
        for iid, name, target, filename, line in zip(iids, *columns, strict=True):
            add_name(iid=iid, name=name)
            add_category(iid=iid, name=target)
            add_location(iid=iid, file_name=filename, line_number=line)
        yield trace.SerializeToString()
