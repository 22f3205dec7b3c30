"""What a partition is made from: a run of blocks of one stream, without a gap, of about `RUN_EVENTS` events.

A stream's ordinals are cut at fixed places, so a run changes only while its own blocks arrive, and a partition
depends on nothing but the blocks of its run. What enters or leaves a run (spans that begin or end elsewhere) is known
from two numbers per block that ingestion counted, before any partition is made.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from udtf.lake import schemas
from udtf.lake.matching import fold_unmatched
from udtf.lake.metadata import BlockRow, StreamRow
from udtf.time_range import TimeRange

RUN_EVENTS = 1 << 16
"""A run holds the blocks whose first event lies in the same stretch of this many ordinals. Smaller runs cost more
files; larger ones more memory while they are built, and more work anew for each block of a live process."""


@dataclass(frozen=True)
class Run:
    """Contiguous blocks of one stream.

    `lost_before` counts the events between the previous run and this one that no block holds. The unmatched ends and
    begins are exact for a thread; for async spans some of them may match one another.
    """

    stream: StreamRow
    blocks: tuple[BlockRow, ...]
    lost_before: int
    unmatched_ends: int
    unmatched_begins: int

    @property
    def begin_offset(self) -> int:
        return self.blocks[0].object_offset

    @property
    def end_offset(self) -> int:
        return self.blocks[-1].end_offset

    @property
    def begin_time(self) -> int:
        return self.blocks[0].begin_time

    @property
    def end_time(self) -> int:
        return self.blocks[-1].end_time

    @cached_property
    def content_hash(self) -> str:
        """What the blocks of the run are known by together."""
        parts = (f"{block.object_offset}:{block.block_id}:{block.payload_hash}" for block in self.blocks)
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def runs_of(stream: StreamRow, blocks: list[BlockRow]) -> list[Run]:
    """Cut the blocks of one stream, given in the order of their events, into runs."""
    if not blocks:
        return []
    offsets = np.array([block.object_offset for block in blocks])
    end_offsets = np.array([block.end_offset for block in blocks])
    lost = offsets - np.concatenate(([0], end_offsets[:-1]))
    slots = offsets // RUN_EVENTS
    starts = (lost > 0) | (np.diff(slots, prepend=-1) != 0)
    numbers = np.cumsum(starts) - 1
    block_ends = np.array([block.unmatched_ends for block in blocks])
    block_begins = np.array([block.unmatched_begins for block in blocks])
    if schemas.ASYNC_TAG in stream.tags:
        # Which end belongs to which begin is not known from numbers, so none is taken to.
        ends, begins = (np.add.reduceat(counts, np.flatnonzero(starts)) for counts in (block_ends, block_begins))
    else:
        ends, begins = fold_unmatched(block_ends, block_begins, numbers, int(numbers[-1]) + 1)
    first_blocks = [*np.flatnonzero(starts).tolist(), len(blocks)]
    return [
        Run(stream, tuple(blocks[first:last]), int(lost[first]), int(ends[number]), int(begins[number]))
        for number, (first, last) in enumerate(pairwise(first_blocks))
    ]


def runs_by_stream(streams: Iterable[StreamRow], blocks: Iterable[BlockRow]) -> list[tuple[StreamRow, list[Run]]]:
    """The runs of every stream, in the order of the streams; `blocks` stream by stream, in the order of events."""
    of_stream = {stream_id: list(group) for stream_id, group in groupby(blocks, lambda block: block.stream_id)}
    return [(stream, runs_of(stream, of_stream.get(stream.stream_id, []))) for stream in streams]


def runs_in_range(runs: Sequence[Run], time_range: TimeRange) -> range:
    """Indexes of the runs with events in a time range. Where it is empty, its start still says where in the stream
    the range lies."""
    first = next((i for i, run in enumerate(runs) if run.end_time >= time_range.begin_ns), len(runs))
    last = next((i for i in range(len(runs), first, -1) if runs[i - 1].begin_time <= time_range.end_ns), first)
    return range(first, last)
