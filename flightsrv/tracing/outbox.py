"""What waits to be sent: buffers turned into blocks, kept in order until a sink has taken them.

Only the sender's thread is in here. This is the part of the library that needs numpy and pyarrow, so the sender
imports it when it starts.
"""

import logging
from collections import deque
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from flightsrv.telemetry import (
    Block,
    Process,
    Stream,
    async_stream,
    blocks_batch,
    cut_blocks,
    processes_batch,
    streams_batch,
    thread_stream,
)
from flightsrv.tracing.buffers import ASYNC_EVENT_WIDTH, Buffer
from flightsrv.tracing.recorder import Recorder
from flightsrv.tracing.scopes import ScopeTable, sendable
from flightsrv.tracing.sinks import RefusedError, Sink
from udtf.lake.block_format import BEGIN, END, AsyncColumns, Events, Scope, scope_array

MAX_BATCH_BYTES = 4 << 20
"""Of blocks: little enough that a buffer which fills up meanwhile is emptied in time."""
MAX_BLOCK_EVENTS = 1 << 18
"""Many, for each block takes time: whenever something else than Python works, threads that record get their turn, and
it takes milliseconds to get it back."""
MAX_STREAMS_IN_BATCH = 1000
BLOCK_OVERHEAD_BYTES = 1024
"""Counted for a block beside its events."""

Integers: TypeAlias = npt.NDArray[np.int64]

_log = logging.getLogger("flightsrv.tracing")


class Outbox:
    """Telemetry of one process on its way, counted in events by what has become of it."""

    def __init__(self, process: Process, recorder: Recorder, max_pending_bytes: int) -> None:
        self.sent_events = 0
        self.refused_events = 0
        self.pending_events = 0
        self._pending_bytes = 0
        self._process = process
        self._recorder = recorder
        self._max_pending_bytes = max_pending_bytes
        self._process_is_sent = False
        self._streams: dict[str, Stream] = {}
        self._unsent_streams: dict[str, Stream] = {}
        self._blocks: deque[tuple[Stream, Block]] = deque()

    def collect(self) -> bool:
        """Empty all buffers into blocks; returns whether it could.

        While too much is pending, buffers stay as they are: what comes later has to wait, and goes if they fill up.
        """
        is_congested = self._pending_bytes >= self._max_pending_bytes
        self._recorder.set_congested(is_congested)
        # All are emptied before any is encoded, so that a thread which records a lot finds room again at once.
        taken = []
        for buffer in list(self._recorder.buffers):
            # Asked first, so that nothing can come after what is taken.
            is_abandoned = buffer.is_abandoned()
            if not (is_congested and buffer.events):
                first_ordinal = buffer.taken_events
                pieces = [np.fromiter(piece, np.int64, len(piece)) for piece in buffer.take()]
                taken.append((buffer, is_abandoned, first_ordinal, pieces))
        for buffer, is_abandoned, first_ordinal, pieces in taken:
            self._add(buffer, first_ordinal, pieces)
            if is_abandoned:
                self._recorder.retire(buffer)
                self._streams.pop(buffer.stream_id, None)
        return not is_congested

    def send(self, sink: Sink) -> None:
        """Send all that is pending at this moment, in order, and go on to collect meanwhile.

        Raises:
            Exception: whatever the sink raised; what it did not take stays.
        """
        if not self._process_is_sent:
            sink.send("processes", processes_batch([self._process]))
            self._process_is_sent = True
        remaining = len(self._blocks)
        self._send_streams(sink)
        while remaining > 0:
            batch = self._next_batch(remaining)
            try:
                sink.send("blocks", blocks_batch([block for _, block in batch]))
            except RefusedError:
                self._send_one_by_one(sink, batch)
            else:
                for _ in batch:
                    self.sent_events += self._drop_first()
            remaining -= len(batch)
            self.collect()

    def _send_streams(self, sink: Sink) -> None:
        while self._unsent_streams:
            batch = list(islice(self._unsent_streams.values(), MAX_STREAMS_IN_BATCH))
            try:
                sink.send("streams", streams_batch(batch))
            except RefusedError:
                self._send_streams_one_by_one(sink, batch)
            for stream in batch:
                del self._unsent_streams[stream.stream_id]

    def _send_streams_one_by_one(self, sink: Sink, batch: list[Stream]) -> None:
        """The same for a receiver that may have begun anew; leave out what it still refuses."""
        sink.send("processes", processes_batch([self._process]))
        for stream in batch:
            try:
                sink.send("streams", streams_batch([stream]))
            except RefusedError as error:
                _log.warning("thread %r was refused: %s", stream.properties.get("thread-name"), error)

    def _next_batch(self, max_blocks: int) -> list[tuple[Stream, Block]]:
        """The blocks that are sent together: one at least, and no more than are handled quickly."""
        batch: list[tuple[Stream, Block]] = []
        size_bytes = 0
        for stream, block in islice(self._blocks, max_blocks):
            size_bytes += _size_bytes(block)
            if batch and size_bytes > MAX_BATCH_BYTES:
                break
            batch.append((stream, block))
        return batch

    def _send_one_by_one(self, sink: Sink, batch: list[tuple[Stream, Block]]) -> None:
        """Send what there is to a receiver that may have forgotten whose it is; leave out what it still refuses."""
        self._send_streams_one_by_one(sink, list({stream.stream_id: stream for stream, _ in batch}.values()))
        for _, block in batch:
            try:
                sink.send("blocks", blocks_batch([block]))
            except RefusedError as error:
                _log.warning("a block of %d events was refused: %s", block.nb_objects, error)
                self.refused_events += self._drop_first()
            else:
                self.sent_events += self._drop_first()

    def _drop_first(self) -> int:
        """Forget the first block; returns the number of its events."""
        _, block = self._blocks.popleft()
        self.pending_events -= block.nb_objects
        self._pending_bytes -= _size_bytes(block)
        return block.nb_objects

    def _add(self, buffer: Buffer, first_ordinal: int, pieces: list[Integers]) -> None:
        # One that never had room for anything is told of as well, unless there are many of them.
        is_told = buffer.dropped_spans and len(self._unsent_streams) < MAX_STREAMS_IN_BATCH
        if not pieces and not is_told and buffer.stream_id not in self._streams:
            return
        stream = self._describe(buffer)
        if self._streams.get(buffer.stream_id) != stream:
            self._streams[buffer.stream_id] = self._unsent_streams[buffer.stream_id] = stream
        if pieces:
            table = np.concatenate(pieces).reshape(-1, buffer.width)
            table[:, 0] = _never_decreasing(table[:, 0], buffer.last_ticks)
            buffer.last_ticks = int(table[-1, 0])
            columns = _columns(table, self._recorder.scopes)
            new_id = self._recorder.settings.new_id
            for block in cut_blocks(stream, columns, first_ordinal, MAX_BLOCK_EVENTS, new_id):
                self._blocks.append((stream, block))
                self.pending_events += block.nb_objects
                self._pending_bytes += _size_bytes(block)

    def _describe(self, buffer: Buffer) -> Stream:
        """The stream's row as of now: threads are renamed, drops are counted."""
        make = async_stream if buffer.width == ASYNC_EVENT_WIDTH else thread_stream
        name = sendable(buffer.thread.name)
        stream = make(buffer.stream_id, self._process.process_id, name, buffer.thread_id)
        if not buffer.dropped_spans:
            return stream
        properties = {**stream.properties, "dropped-spans": str(buffer.dropped_spans)}
        return Stream(stream.stream_id, stream.process_id, stream.tags, properties)


def _size_bytes(block: Block) -> int:
    return block.size_bytes + BLOCK_OVERHEAD_BYTES


def _never_decreasing(ticks: Integers, last_ticks: int) -> Integers:
    """A moment is not recorded while it is read: another thread may have ended an async span here in between, or a
    signal handler recorded spans of its own."""
    return np.maximum.accumulate(np.maximum(ticks, last_ticks))


def _columns(table: Integers, scopes: ScopeTable) -> Events:
    """Recorded integers, one row an event, as columns."""
    codes = np.abs(table[:, 1])
    used = np.flatnonzero(np.bincount(codes))
    index_of = np.zeros(used[-1] + 1, np.int32)
    index_of[used] = np.arange(len(used), dtype=np.int32)
    async_columns = None
    if table.shape[1] == ASYNC_EVENT_WIDTH:
        span_ids, parents, depths = (np.ascontiguousarray(column) for column in table[:, 2:].T)
        async_columns = AsyncColumns(span_ids, parents, depths.astype(np.uint32))
    return Events(
        ticks=np.ascontiguousarray(table[:, 0]),
        kinds=np.where(table[:, 1] > 0, BEGIN, END).astype(np.uint8),
        scopes=index_of[codes],
        scope_table=scope_array([Scope(*scopes[code]) for code in used.tolist()]),
        async_columns=async_columns,
    )
