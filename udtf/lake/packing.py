"""Small objects put together: a store has room for so many objects only, whatever their size.

A process that sends every two seconds makes 43,200 objects a day. When all segments of a stretch are there, as many as
a partition is made of, their bytes are written once more, end to end, as one object, a *pack*, and their rows say where
they are in it. Nothing else of them changes, and a build reads them by one request. The objects that they came from are
garbage, and are deleted after a while, so that a backup made meanwhile has what its copy of the database names.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from udtf.errors import CorruptData
from udtf.lake.clock import NS_PER_SECOND
from udtf.lake.history import MAX_PARTITION_SEGMENTS
from udtf.lake.metadata import MetadataStore, SegmentRow, StretchRow
from udtf.lake.objects import ObjectStore
from udtf.lake.segment_file import check_content

log = logging.getLogger(__name__)

MAX_PACK_BYTES = 16 << 20
"""Segments that take more together are large enough to be objects of their own."""

KEPT_S = 3600.0

_ToPack: TypeAlias = tuple[str, int]
"""A process, and the first segment of a stretch."""


class Packing:
    """Safe to use from many threads, and from several servers at once.

    Attributes:
        kept_s: how long the objects that a pack has taken the place of are kept.
    """

    def __init__(self, metadata: MetadataStore, objects: ObjectStore, kept_s: float = KEPT_S) -> None:
        self.kept_s = kept_s
        self._metadata = metadata
        self._objects = objects
        self._lock = threading.Lock()
        self._complete: list[_ToPack] = []

    def note_complete(self, stretches: Iterable[StretchRow]) -> None:
        """Stretches have become complete; `pack` looks at them the next time."""
        noted = [
            (stretch.process_id, stretch.first_segment)
            for stretch in stretches
            if stretch.nb_segments == MAX_PARTITION_SEGMENTS
        ]
        if noted:
            with self._lock:
                self._complete += noted

    def pack(self) -> Iterator[int]:
        """Pack what has become complete since the last time, one pack after the other: of how many objects each is.
        What a reader does not wait for, `pack_all` finds.

        Raises:
            StoreFull, StoreRefused, StoreUnavailable: no more can be packed now.
        """
        with self._lock:
            complete, self._complete = self._complete, []
        return self._packs(complete)

    def pack_all(self) -> Iterator[int]:
        """The same for whatever a lake has: servers may have ended before they were done."""
        for process_id in self._metadata.process_ids():
            firsts = self._metadata.upkeep.unpacked_stretches(process_id, MAX_PARTITION_SEGMENTS, MAX_PACK_BYTES)
            yield from self._packs((process_id, first_segment) for first_segment in firsts)

    def _packs(self, stretches: Iterable[_ToPack]) -> Iterator[int]:
        for process_id, first_segment in stretches:
            numbers = range(first_segment, first_segment + MAX_PARTITION_SEGMENTS)
            rows = self._metadata.segments(process_id, numbers)
            keys = {row.object_key for row in rows}
            size_bytes = sum(row.object_end - row.object_begin for row in rows)
            if len(rows) < MAX_PARTITION_SEGMENTS or len(keys) == 1 or size_bytes > MAX_PACK_BYTES:
                continue
            try:
                if self._put_together(rows):
                    yield len(keys)
            except CorruptData as error:
                # It is told to those who look at it; what is left of it can be read as it is.
                log.warning("segments from %d on of process %s are not packed: %s", first_segment, process_id, error)

    def _put_together(self, rows: list[SegmentRow]) -> bool:
        """Make the pack of some segments; False if their rows have changed meanwhile, and there is none.

        Raises:
            CorruptData: one of them is lost or damaged.
        """
        parts = [self._objects.get_range(row.object_key, row.object_begin, row.object_end) for row in rows]
        key = f"segments/{rows[0].process_id}/{uuid.uuid4().hex}"
        moved = []
        begin = 0
        for row, data in zip(rows, parts, strict=True):
            check_content(data, row)
            moved.append(replace(row, object_key=key, object_begin=begin, object_end=begin + len(data)))
            begin += len(data)
        self._objects.put(key, b"".join(parts), durable=True)
        try:
            is_moved = self._metadata.upkeep.move_segments(
                rows, moved, time.time_ns() + int(self.kept_s * NS_PER_SECOND)
            )
        except BaseException:
            self._objects.try_delete(key)
            raise
        if not is_moved:
            self._objects.try_delete(key)
        return is_moved
