"""New blocks against the blocks beside them in their streams: each event once, and time never backwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, TypeVar

import sqlalchemy as sa

from udtf.errors import InvalidTelemetry
from udtf.lake.metadata.rows import BlockRow
from udtf.lake.metadata.tables import blocks

T = TypeVar("T")

_CLAUSES_PER_STATEMENT = 200
"""Databases bound how deep a condition may nest."""


@dataclass(frozen=True, order=True)
class _Extent:
    """Where a block lies in its stream."""

    stream_id: str
    object_offset: int
    nb_objects: int
    begin_ticks: int
    end_ticks: int
    block_id: str

    @property
    def last_event(self) -> int:
        return self.object_offset + self.nb_objects - 1


def check_neighbours(connection: sa.Connection, new: Sequence[BlockRow]) -> None:
    """Compare blocks that are about to be stored with one another and with their neighbours among those stored.

    Raises:
        InvalidTelemetry: two blocks hold the same events, or one begins before the one before it ends.
    """
    stretches: dict[str, tuple[int, int]] = {}
    for row in new:
        low, high = stretches.get(row.stream_id, (row.object_offset, row.object_offset))
        stretches[row.stream_id] = (min(low, row.object_offset), max(high, row.object_offset))
    extents = [_extent(row) for row in new]
    block_ids = {row.block_id for row in new}
    for some in _pieces(stretches.items()):
        stored = (_Extent(*row) for row in connection.execute(_stored_around(some)))
        # Another sender of the same block may have been faster.
        extents += [extent for extent in stored if extent.block_id not in block_ids]
    for before, after in pairwise(sorted(extents)):
        if before.stream_id != after.stream_id:
            continue
        where = f"blocks {before.block_id!r} and {after.block_id!r} of stream {before.stream_id!r}"
        if after.object_offset <= before.last_event:
            raise InvalidTelemetry(
                f"{where} overlap: events {before.object_offset} to {before.last_event} and {after.object_offset} "
                f"to {after.last_event}, expected each event in one block"
            )
        if after.begin_ticks < before.end_ticks:
            raise InvalidTelemetry(
                f"{where} run backwards in time: the first ends at tick {before.end_ticks}, the second begins at tick "
                f"{after.begin_ticks}, expected no earlier"
            )


def _extent(row: BlockRow) -> _Extent:
    return _Extent(row.stream_id, row.object_offset, row.nb_objects, row.begin_ticks, row.end_ticks, row.block_id)


def _stored_around(stretches: Iterable[tuple[str, tuple[int, int]]]) -> sa.Select[Any]:
    """The extents of stored blocks that begin in these stretches of streams, and of the next ones on either side."""
    table = blocks.c
    columns = [table[name] for name in _Extent.__dataclass_fields__]
    around = [
        sa.and_(
            table.stream_id == stream_id,
            table.object_offset >= sa.func.coalesce(_last_before(stream_id, low), low),
            table.object_offset <= sa.func.coalesce(_first_after(stream_id, high), high),
        )
        for stream_id, (low, high) in stretches
    ]
    return sa.select(*columns).where(sa.or_(*around))


def _last_before(stream_id: str, offset: int) -> sa.ScalarSelect[int]:
    other = blocks.alias().c
    nearest = sa.func.max(other.object_offset)
    return sa.select(nearest).where(other.stream_id == stream_id, other.object_offset <= offset).scalar_subquery()


def _first_after(stream_id: str, offset: int) -> sa.ScalarSelect[int]:
    other = blocks.alias().c
    nearest = sa.func.min(other.object_offset)
    return sa.select(nearest).where(other.stream_id == stream_id, other.object_offset >= offset).scalar_subquery()


def _pieces(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while piece := list(islice(remaining, _CLAUSES_PER_STATEMENT)):
        yield piece
