"""The history of a process while it grows: what must be known to add a segment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.clock import Clock
from udtf.lake.history import Histories, Stretch, StretchKey, completed_by, largest_stretches
from udtf.lake.index import Index, Runs, combine, decode_lists, encode_lists, index_of
from udtf.lake.ingestion.blocks import Blocks
from udtf.lake.ingestion.stream_ends import REMOVED, Extent, StreamEnds
from udtf.lake.metadata import Growth, HistoryRow, MetadataStore, SegmentRow, StretchRow
from udtf.lake.sealed import digest, join_parts, seal, split_parts, unseal
from udtf.views.catalog import KINDS

RECENT_SEGMENTS = 256
"""Blocks that are appended are known again if they are in one of the last so many segments of their process."""


@dataclass(frozen=True)
class NewSegment:
    """A segment whose object is stored, and whose row is not. `blocks` are by kind, in the order of the object."""

    process_id: str
    blocks: Sequence[Blocks]
    indexes: dict[str, Index]
    begin_time: int
    end_time: int
    end_ticks: int
    content_hash: str
    object_key: str
    object_begin: int
    object_end: int

    @property
    def nb_events(self) -> int:
        return sum(len(blocks.events) for blocks in self.blocks)

    @property
    def has_appended(self) -> bool:
        return any(blocks.are_appended for blocks in self.blocks)

    def behind(self, ends: StreamEnds) -> "NewSegment":
        """The same with blocks that are appended in their places."""
        indexes, placed = dict(self.indexes), []
        for blocks in self.blocks:
            if blocks.are_appended:
                of_streams = ends.of(blocks.streams.to_pylist())
                indexes[blocks.kind.name] = indexes[blocks.kind.name].shifted(of_streams)
                blocks = blocks.behind(of_streams)
            placed.append(blocks)
        return replace(self, blocks=placed, indexes=indexes)


class OpenHistory:
    """How far a process has come, and those of its largest stretches that are not part of a larger one yet."""

    def __init__(self, history: HistoryRow, histories: Histories, metadata: MetadataStore) -> None:
        self.row = history
        self._clock = metadata.process(history.process_id).clock
        self._histories = histories
        self._metadata = metadata
        self._largest = histories.of(history, largest_stretches(history.nb_segments))
        self._ends = StreamEnds()
        self._segments: list[SegmentRow] = []
        self._stretches: list[StretchRow] = []
        self._recent: list[frozenset[str]] | None = None
        """Ids of the blocks of each of the last segments; None if nothing was appended yet."""
        for stretch in self._largest:
            for kind in stretch.kinds:
                index = stretch.index_of(kind)
                assert index is not None
                self._ends.add(index)

    def copy(self) -> "OpenHistory":
        """The same, which can grow while this one stays as it is."""
        history = OpenHistory.__new__(OpenHistory)
        history.__dict__.update(self.__dict__)
        history._largest = list(self._largest)
        history._ends = self._ends.copy()
        history._segments = list(self._segments)
        history._stretches = list(self._stretches)
        history._recent = None if self._recent is None else list(self._recent)
        return history

    def look_back(self) -> None:
        """Learn which blocks came last, so that those which are appended are known when they come again."""
        if self._recent is None:
            first = max(self.row.nb_segments - RECENT_SEGMENTS, self.row.first_segment)
            numbers = range(first, self.row.nb_segments)
            rows = self._metadata.segments(self.row.process_id, numbers) if numbers else []
            self._recent = [_ids_of(block_rows(row).values()) for row in [*rows, *self._segments]]

    def new_blocks(self, blocks: Blocks) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Those of some blocks of one kind that are not stored; see `StreamEnds.new_blocks`. Of blocks that are
        appended, those whose ids are new, by stream, after `look_back`."""
        if blocks.are_appended:
            assert self._recent is not None
            ids = np.array(blocks.block_ids.to_pylist(), object)
            is_first = np.zeros(len(blocks), np.bool_)
            is_first[np.unique(ids, return_index=True)[1]] = True
            new = [is_first[i] and not any(ids[i] in recent for recent in self._recent) for i in range(len(blocks))]
            order = np.argsort(blocks.stream_codes, kind="stable")
            return order[np.array(new, np.bool_)[order]]

        def lookup(stream_id: str, first: int, end: int) -> list[Extent]:
            return self._around(blocks.kind.name, stream_id, first, end)

        return self._ends.new_blocks(blocks, lookup)

    def append(self, segment: NewSegment, now: int) -> None:
        """Add a segment whose blocks are new."""
        segment = segment.behind(self._ends)
        number = self.row.nb_segments
        row = SegmentRow(
            process_id=segment.process_id,
            first_segment=number,
            begin_time=segment.begin_time,
            end_time=segment.end_time,
            nb_events=segment.nb_events,
            content_hash=segment.content_hash,
            object_key=segment.object_key,
            object_begin=segment.object_begin,
            object_end=segment.object_end,
            insert_time=now,
            blocks=seal(join_parts({blocks.kind.name: encode_block_rows(blocks) for blocks in segment.blocks})),
            index=seal(join_parts({name: index.encode() for name, index in segment.indexes.items()})),
        )
        self._segments.append(row)
        self._largest.append(Stretch.of(row, segment.indexes))
        for key in completed_by(number):
            self._stretches.append(self._complete(key))
        for index in segment.indexes.values():
            self._ends.add(index)
        if self._recent is not None:
            ids = frozenset(block_id for blocks in segment.blocks for block_id in blocks.block_ids.to_pylist())
            self._recent = [*self._recent[1 - RECENT_SEGMENTS :], ids]
        is_last = self.row.last_end_time is None or segment.end_time >= self.row.last_end_time
        self.row = replace(
            self.row,
            nb_segments=number + 1,
            size_bytes=self.row.size_bytes + segment.object_end - segment.object_begin,
            last_end_time=segment.end_time if is_last else self.row.last_end_time,
            last_end_ticks=segment.end_ticks if is_last else self.row.last_end_ticks,
            update_time=now,
        )

    def growth(self) -> Growth:
        """What has been added since the last one that was stored."""
        return Growth(self.row, self._segments, self._stretches)

    def stored(self) -> None:
        """What has been added is stored."""
        self._segments, self._stretches = [], []

    def _complete(self, key: StretchKey) -> StretchRow:
        """Put the last stretches together."""
        nb_children = len(key.children())
        children, self._largest = self._largest[-nb_children:], self._largest[:-nb_children]
        indexes = {}
        for kind in KINDS:
            parts = [index for child in children if (index := child.index_of(kind.name)) is not None]
            if parts:
                indexes[kind.name] = combine(kind, parts)
        row = StretchRow(
            process_id=self.row.process_id,
            nb_segments=key.nb_segments,
            first_segment=key.first_segment,
            begin_time=min(*(child.begin_time for child in children), begin_time_of(indexes, self._clock)),
            end_time=max(child.end_time for child in children),
            nb_events=sum(child.nb_events for child in children),
            content_hash=digest(*(child.content_hash.encode() for child in children)).hex(),
            index=seal(join_parts({name: index.encode() for name, index in indexes.items()})),
        )
        self._largest.append(Stretch.of(row, indexes))
        return row

    def _around(self, kind: str, stream_id: str, first: int, end: int) -> list[Extent]:
        """Stored blocks of a stream that have one of these events, and the runs next to those on either side."""
        extents: list[Extent] = []
        pending = list(self._largest)
        while pending:
            stretch = pending.pop()
            index = stretch.index_of(kind)
            place = pa.compute.index(index.stream_ids, stream_id).as_py() if index is not None else -1
            if index is None or place < 0:
                continue
            runs = index.runs.take(index.runs.streams == place)
            inside = (runs.first < end) & (runs.end > first)
            extents += _extents(runs.take(~inside))
            if not np.any(inside):
                continue
            if stretch.key.end_segment <= self.row.first_segment:
                extents.append(REMOVED)
                continue
            if stretch.key.nb_segments > 1:
                pending += self._histories.of(self.row, stretch.key.children())
            else:
                extents += self._blocks_of(stretch, kind, stream_id)
        return extents

    def _blocks_of(self, segment: Stretch, kind: str, stream_id: str) -> list[Extent]:
        rows = [row for row in self._segments if row.first_segment == segment.key.first_segment]
        rows = rows or self._metadata.segments(self.row.process_id, [segment.key.first_segment])
        if not rows:
            self._metadata.check_history(self.row)
            raise CorruptData(f"the metadata lacks segment {segment.key.first_segment} of {self.row.process_id}")
        table = block_rows(rows[0])[kind].filter(pa.compute.field("stream_id") == stream_id)
        return [
            Extent(
                row["first"], row["first"] + row["nb_events"], row["begin_ticks"], row["end_ticks"], row["fingerprint"]
            )
            for row in table.to_pylist()
        ]


def index_of_blocks(blocks: Blocks) -> Index:
    """The index of blocks of one kind that are by stream, each stream in one place, and ordinal."""
    runs = Runs(
        blocks.stream_codes,
        blocks.first,
        blocks.end,
        *blocks.kind.covered(blocks.events, blocks.bounds),
        blocks.kind.count_rows(blocks.events, blocks.bounds),
    )
    return index_of(blocks.kind, blocks.streams, runs, blocks.events)


def begin_time_of(indexes: Mapping[str, Index], clock: Clock) -> int:
    """The first time that indexes cover, in nanoseconds."""
    return min(clock.to_ns(int(index.runs.begin_ticks.min())) for index in indexes.values())


def encode_block_rows(blocks: Blocks) -> bytes:
    """What is kept of each block beside its events."""
    return encode_lists(
        {
            "block_id": blocks.block_ids,
            "stream_id": blocks.stream_ids,
            "first": pa.array(blocks.first),
            "nb_events": pa.array(blocks.nb_events),
            "begin_ticks": pa.array(blocks.begin_ticks),
            "end_ticks": pa.array(blocks.end_ticks),
            "payload_bytes": pa.array(blocks.payload_bytes),
            "fingerprint": pa.array(blocks.fingerprints),
        }
    )


def block_rows(segment: SegmentRow) -> dict[str, pa.Table]:
    """The blocks of a segment by kind, with the columns of `encode_block_rows`.

    Raises:
        CorruptData: they are damaged.
    """
    parts = split_parts(unseal(segment.blocks, f"the list of blocks of segment {segment.first_segment}"))
    return {name: pa.table(decode_lists(data)) for name, data in parts.items()}


def _ids_of(tables: Iterable[pa.Table]) -> frozenset[str]:
    return frozenset(block_id for table in tables for block_id in table["block_id"].to_pylist())


def _extents(runs: Runs) -> list[Extent]:
    columns = (runs.first, runs.end, runs.begin_ticks, runs.end_ticks)
    return [Extent(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
