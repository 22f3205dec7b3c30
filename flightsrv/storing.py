"""Hands telemetry on as rows to ingest: processes and streams where the receiver does not know them, and blocks."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from flightsrv.telemetry import Process, Stream, processes_batch, streams_batch

MAX_KNOWN = 100_000


@dataclass(frozen=True)
class Uploads:
    """What one request brings. `blocks` are rows of the table `blocks`, of these processes and streams."""

    processes: Sequence[Process]
    streams: Sequence[Stream]
    blocks: pa.RecordBatch


class Introductions:
    """Which processes and streams a receiver has been told of, so that they are not told with each block.

    Only a memory aid: a receiver that does not know one, after all, refuses the blocks, and is told.
    """

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def unknown(self, uploads: Uploads) -> set[bytes]:
        """What in there was not told, to be added to what is known once it is."""
        rows = (hashlib.sha256(repr(row).encode("utf-8", "replace")).digest() for row in _rows(uploads))
        return set(rows) - self._known

    def add(self, rows: set[bytes]) -> None:
        """Remember that these were told."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known |= rows


def store_uploads(
    uploads: Uploads,
    ingest: Callable[[str, pa.RecordBatch], object],
    refusal: type[Exception],
    introductions: Introductions,
) -> None:
    """Store uploads by `ingest(table, rows)`, which returns when they are durable, and raises `refusal` for rows that
    are wrong, or belong to what is not there.

    Raises:
        Exception: whatever `ingest` raises. All may be sent again.
    """
    unknown = introductions.unknown(uploads)
    if unknown:
        _introduce(uploads, ingest)
        introductions.add(unknown)
    if not uploads.blocks.num_rows:
        return
    try:
        ingest("blocks", uploads.blocks)
    except refusal:
        if unknown:
            raise
        # The process may have been removed meanwhile, or the receiver may be another one.
        _introduce(uploads, ingest)
        ingest("blocks", uploads.blocks)


def _introduce(uploads: Uploads, ingest: Callable[[str, pa.RecordBatch], object]) -> None:
    ingest("processes", processes_batch(uploads.processes))
    if uploads.streams:
        ingest("streams", streams_batch(uploads.streams))


def _rows(uploads: Uploads) -> list[Process | Stream]:
    return [*uploads.processes, *uploads.streams]
