"""Where the streams of a process end, and which new blocks fit to what is stored.

Most blocks go on where their stream ends, which is all that has to be looked at. Blocks of ordinals that lie before
that fill a gap, or have been stored already and are sent again: for those the stored blocks around them are looked
up. Blocks without ordinals are appended to their stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from udtf.errors import InvalidTelemetry
from udtf.lake.index import Index
from udtf.lake.ingestion.blocks import Blocks

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Extent:
    """Where stored events lie in their stream: one block, whose fingerprint is known, or several."""

    first: int
    end: int
    begin_ticks: int
    end_ticks: int
    fingerprint: int | None = None


REMOVED = Extent(-1, -1, 0, 0)
"""In place of blocks that have been removed, of which nothing is known but that they were there."""

Lookup = Callable[[str, int, int], Sequence[Extent]]
"""Stored blocks of a stream that have events from one ordinal to before another, and what lies next to those on either
side."""


class StreamEnds:
    """The ordinal after the last event of each stream of a process, and the tick of that event."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._ends = np.zeros(16, np.int64)
        self._end_ticks = np.zeros(16, np.int64)

    def copy(self) -> "StreamEnds":
        ends = StreamEnds()
        ends._codes = dict(self._codes)
        ends._ends = self._ends.copy()
        ends._end_ticks = self._end_ticks.copy()
        return ends

    def add(self, index: Index) -> None:
        """More events are stored."""
        codes = self._codes_of(index.stream_ids.to_pylist())[index.runs.streams]
        later = index.runs.end > self._ends[codes]
        # Runs are by ordinal, so the last one of a stream is the one that stays.
        self._ends[codes[later]] = index.runs.end[later]
        self._end_ticks[codes[later]] = index.runs.end_ticks[later]

    def of(self, stream_ids: Sequence[str]) -> Int64s:
        """The ordinal after the last event of each of these streams, 0 if it has none."""
        codes = self._codes_of(stream_ids)  # which may make room first
        ends: Int64s = self._ends[codes]
        return ends

    def new_blocks(self, blocks: Blocks, lookup: Lookup) -> Int64s:
        """Those of some blocks of one kind that are not stored, by stream and ordinal.

        Raises:
            InvalidTelemetry: a block has events that others have, or is earlier in time than events before it.
        """
        codes = self._codes_of(blocks.streams.to_pylist())[blocks.stream_codes]
        order = np.lexsort((blocks.first, codes))
        order = order[~_is_repeated(blocks, codes, order)]
        _check_order(blocks, codes, order)
        of_order = codes[order]
        is_late = blocks.first[order] < self._ends[of_order]
        backwards = ~is_late & (self._ends[of_order] > 0) & (blocks.begin_ticks[order] < self._end_ticks[of_order])
        if blocks.kind.is_ordered and np.any(backwards):
            block = int(order[np.argmax(backwards)])
            raise _backwards(blocks, block, int(self._end_ticks[codes[block]]))
        is_new = ~is_late
        for position in np.flatnonzero(is_late).tolist():
            is_new[position] = _fits(blocks, int(order[position]), lookup)
        new: Int64s = order[is_new]
        return new

    def _codes_of(self, stream_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        codes = np.fromiter(
            (self._codes.setdefault(stream_id, len(self._codes)) for stream_id in stream_ids), np.int64, len(stream_ids)
        )
        if len(self._codes) > len(self._ends):
            room = 2 * len(self._codes)
            self._ends = np.concatenate((self._ends, np.zeros(room - len(self._ends), np.int64)))
            self._end_ticks = np.concatenate((self._end_ticks, np.zeros(room - len(self._end_ticks), np.int64)))
        return codes


def _is_repeated(blocks: Blocks, codes: Int64s, order: Int64s) -> npt.NDArray[np.bool_]:
    """Whether each block is the one before it once more."""
    result = np.zeros(len(order), np.bool_)
    before, after = order[:-1], order[1:]
    result[1:] = (
        (codes[before] == codes[after])
        & (blocks.first[before] == blocks.first[after])
        & (blocks.end[before] == blocks.end[after])
        & (blocks.fingerprints[before] == blocks.fingerprints[after])
    )
    return result


def _check_order(blocks: Blocks, codes: Int64s, order: Int64s) -> None:
    """Compare blocks that came together with one another."""
    before, after = order[:-1], order[1:]
    same = codes[before] == codes[after]
    overlaps = same & (blocks.first[after] < blocks.end[before])
    if np.any(overlaps):
        pair = int(np.argmax(overlaps))
        raise _overlap(blocks, int(after[pair]), int(blocks.first[before[pair]]), int(blocks.end[before[pair]]))
    backwards = same & (blocks.begin_ticks[after] < blocks.end_ticks[before])
    if blocks.kind.is_ordered and np.any(backwards):
        pair = int(np.argmax(backwards))
        raise _backwards(blocks, int(after[pair]), int(blocks.end_ticks[before[pair]]))


def _fits(blocks: Blocks, block: int, lookup: Lookup) -> bool:
    """Whether a block fills a gap; False if it is stored already."""
    first, end = int(blocks.first[block]), int(blocks.end[block])
    for extent in lookup(blocks.stream_ids[block].as_py(), first, end):
        if extent is REMOVED:
            return False
        if (extent.first, extent.end, extent.fingerprint) == (first, end, int(blocks.fingerprints[block])):
            return False
        if extent.first < end and extent.end > first:
            raise _overlap(blocks, block, extent.first, extent.end)
        if not blocks.kind.is_ordered:
            continue
        if extent.end <= first and extent.end_ticks > int(blocks.begin_ticks[block]):
            raise _backwards(blocks, block, extent.end_ticks)
        if extent.first >= end and extent.begin_ticks < int(blocks.end_ticks[block]):
            raise InvalidTelemetry(
                f"{_name(blocks, block)} runs backwards in time: it ends at tick {blocks.end_ticks[block]}, and the "
                f"events after it begin at tick {extent.begin_ticks}, expected no earlier"
            )
    return True


def _overlap(blocks: Blocks, block: int, first: int, end: int) -> InvalidTelemetry:
    same = first == int(blocks.first[block])
    return InvalidTelemetry(
        f"{_name(blocks, block)} has events {blocks.first[block]} to "
        f"{int(blocks.end[block]) - 1}, which overlap a block of events {first} to {end - 1}"
        f"{' with other content' if same else ''}, expected each event in one block"
    )


def _backwards(blocks: Blocks, block: int, end_ticks: int) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"{_name(blocks, block)} runs backwards in time: the events before it end at tick {end_ticks}, it begins at "
        f"tick {blocks.begin_ticks[block]}, expected no earlier"
    )


def _name(blocks: Blocks, block: int) -> str:
    return f"{blocks.name(block)} of stream {blocks.stream_ids[block].as_py()!r}"
