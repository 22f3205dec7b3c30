"""What waits to be sent: buffers turned into uploads, kept in order until a sink has taken them.

Only the sender's thread is in here.
"""

import logging
import threading
from collections import deque
from typing import Any

from flightsrv.tracing.buffers import FIRST_TICKS, MEASURE, Buffer, ThreadBuffer
from flightsrv.tracing.pace import Pace
from flightsrv.tracing.process_info import Description
from flightsrv.tracing.recorder import Recorder
from flightsrv.tracing.scopes import sendable
from flightsrv.tracing.sinks import RefusedError, Sink
from flightsrv.tracing.spool import Spool
from flightsrv.tracing.uploads import Block, Stream, encode_upload, raw_size_bytes_of

MAX_UPLOAD_EVENTS = 1 << 18
MAX_UPLOAD_BLOCKS = 1000
MAX_UPLOAD_CHARS = 1 << 22
"""Of the texts in an upload, unless a single block has more."""
MAX_REQUEST_BYTES = 1 << 20
"""Of the uploads that are sent together, unless a single one has more."""
MAX_REQUEST_RAW_BYTES = 32 << 20
"""The same, without compression: servers take 64 MiB."""
MAX_REQUEST_UPLOADS = 64

_log = logging.getLogger("flightsrv.tracing")


class Upload:
    """An upload that waits: in memory, or in a file of the spool."""

    __slots__ = ("data", "name", "nb_events", "raw_size_bytes", "size_bytes")

    def __init__(self, data: bytes, nb_events: int) -> None:
        self.data: bytes | None = data
        self.name: str | None = None
        self.nb_events = nb_events
        self.size_bytes = len(data)
        self.raw_size_bytes = raw_size_bytes_of(data)


class Outbox:
    """Telemetry of one process on its way, counted in events by what has become of it.

    What cannot be sent for the moment goes into the spool, if there is one, else it stays in memory; when both are
    full, buffers stay as they are, and refuse spans once they are full.
    """

    def __init__(
        self, process: Description, recorder: Recorder, spool: Spool | None, max_pending_bytes: int, is_safe: bool
    ) -> None:
        """`is_safe` puts everything into the spool before it is sent."""
        self.sent_events = 0
        self.refused_events = 0
        self.pending_events = 0
        self.spool = spool
        self._process = process
        self._recorder = recorder
        self._max_pending_bytes = max_pending_bytes
        self._is_safe = is_safe
        self._is_known = False
        self._pace = Pace()
        self._memory_bytes = 0
        self._uploads: deque[Upload] = deque()
        self._streams: dict[str, Stream] = {}

    @property
    def spooled_events(self) -> int:
        """Of those pending, the events that outlive the process."""
        # Copied in one step, since any thread may ask.
        return sum(upload.nb_events for upload in list(self._uploads) if upload.name is not None)

    def collect(self) -> bool:
        """Empty all buffers into uploads; returns whether it could."""
        is_congested = self._memory_bytes >= self._max_pending_bytes
        self._recorder.set_congested(is_congested)
        # All are emptied before any is encoded, so that a thread which records a lot finds room again at once.
        taken: list[tuple[Buffer, bool, int, list[list[Any]]]] = []
        for buffer in list(self._recorder.buffers):
            # Asked first, so that nothing can come after what is taken.
            is_abandoned = buffer.is_abandoned()
            if not (is_congested and buffer.events):
                taken.append((buffer, is_abandoned, buffer.taken_events, list(buffer.take())))
        blocks: list[Block] = []
        nb_events = chars = 0
        for buffer, is_abandoned, first_ordinal, pieces in taken:
            self._pace.keep()
            for block in self._blocks(buffer, first_ordinal, pieces):
                block_chars = block.count_chars()
                is_full = (
                    nb_events + block.nb_events > MAX_UPLOAD_EVENTS
                    or len(blocks) >= MAX_UPLOAD_BLOCKS
                    or chars + block_chars > MAX_UPLOAD_CHARS
                )
                if blocks and is_full:
                    self._add(blocks, nb_events)
                    blocks, nb_events, chars = [], 0, 0
                blocks.append(block)
                nb_events += block.nb_events
                chars += block_chars
            if is_abandoned:
                self._recorder.retire(buffer)
                self._streams.pop(buffer.stream_id, None)
        if blocks:
            self._add(blocks, nb_events)
        if self._is_safe:
            self.keep()
        return not is_congested

    def keep(self) -> None:
        """Put into the spool what is in memory, as far as there is room."""
        if self.spool is None:
            return
        for upload in self._uploads:
            if upload.data is not None:
                upload.name = self.spool.add(upload.data)
                if upload.name is None:
                    return
                upload.data = None
                self._memory_bytes -= upload.size_bytes

    def send(self, sink: Sink) -> None:
        """Send all that is pending at this moment, in order, and go on to collect meanwhile.

        Raises:
            Exception: whatever the sink raised; what it did not take stays.
        """
        if not self._uploads and not self._is_known:
            sink.send(encode_upload(self._process, [], self._recorder.scopes))
        waiting = deque(self._uploads)
        while waiting:
            batch = self._next_batch(waiting)
            try:
                sink.send(b"".join(data for _, data in batch))
            except RefusedError as error:
                if len(batch) > 1:
                    self._send_one_by_one(sink, batch)
                else:
                    self._refuse(batch[0][0], str(error))
            else:
                for upload, _ in batch:
                    self._count_as_sent(upload)
            self.collect()
        self._is_known = True

    def _send_one_by_one(self, sink: Sink, batch: list[tuple[Upload, bytes]]) -> None:
        for upload, data in batch:
            try:
                sink.send(data)
            except RefusedError as error:
                self._refuse(upload, str(error))
            else:
                self._count_as_sent(upload)

    def _next_batch(self, waiting: deque[Upload]) -> list[tuple[Upload, bytes]]:
        """Take the uploads that are sent together, one at least."""
        batch: list[tuple[Upload, bytes]] = []
        size_bytes = raw_size_bytes = 0
        while waiting and len(batch) < MAX_REQUEST_UPLOADS:
            size_bytes += waiting[0].size_bytes
            raw_size_bytes += waiting[0].raw_size_bytes
            if batch and (size_bytes > MAX_REQUEST_BYTES or raw_size_bytes > MAX_REQUEST_RAW_BYTES):
                break
            upload = waiting.popleft()
            batch.append((upload, self._data_of(upload)))
        return batch

    def _data_of(self, upload: Upload) -> bytes:
        """The bytes; no bytes, which a receiver refuses, where its file in the spool is gone."""
        if upload.name is None or self.spool is None:
            return upload.data or b""
        return self.spool.read(upload.name)

    def _count_as_sent(self, upload: Upload) -> None:
        self._remove(upload)
        self.sent_events += upload.nb_events

    def _refuse(self, upload: Upload, reason: str) -> None:
        _log.warning("an upload of %d events was refused: %s", upload.nb_events, reason)
        self._remove(upload)
        self.refused_events += upload.nb_events

    def _remove(self, upload: Upload) -> None:
        self._uploads.remove(upload)
        self.pending_events -= upload.nb_events
        if upload.data is not None:
            self._memory_bytes -= upload.size_bytes
        elif self.spool is not None and upload.name is not None:
            self.spool.remove(upload.name)

    def _add(self, blocks: list[Block], nb_events: int) -> None:
        try:
            data = encode_upload(self._process, blocks, self._recorder.scopes, self._pace.keep)
            upload = Upload(data, nb_events)
        except Exception:
            # A defect of this library, or no memory is left.
            _log.warning("%d events could not be encoded, and are lost", nb_events, exc_info=True)
            self.refused_events += nb_events
            return
        self._uploads.append(upload)
        self.pending_events += nb_events
        self._memory_bytes += upload.size_bytes

    def _blocks(self, buffer: Buffer, first_ordinal: int, pieces: list[list[Any]]) -> list[Block]:
        # One that never had room for anything is told of as well, and a thread that has a log or links.
        is_told = buffer.dropped or (isinstance(buffer, ThreadBuffer) and buffer.is_referred_to)
        if not pieces and not is_told and buffer.stream_id not in self._streams:
            return []
        stream = self._describe(buffer)
        is_changed = self._streams.get(buffer.stream_id) != stream
        self._streams[buffer.stream_id] = stream
        if not pieces:
            return [Block(stream, first_ordinal, [], FIRST_TICKS)] if is_changed else []
        blocks = []
        for integers in pieces:
            blocks.append(Block(stream, first_ordinal, integers, buffer.last_ticks, buffer.noted_chars > 0))
            buffer.last_ticks = max(buffer.last_ticks, max(integers[:: buffer.width]))
            first_ordinal += len(integers) // buffer.width
        return blocks

    def _describe(self, buffer: Buffer) -> Stream:
        """The stream as of now: threads are renamed, drops are counted."""
        properties: dict[str, str] = {}
        if buffer.kind != MEASURE or buffer.thread_stream_id is not None:
            properties |= {"thread-name": _name_of(buffer.thread), "thread-id": str(buffer.thread_id)}
        if buffer.thread_stream_id is not None:
            properties["thread-stream-id"] = buffer.thread_stream_id
        if buffer.dropped:
            properties["dropped-spans" if buffer.has_spans else "dropped-entries"] = str(buffer.dropped)
        return Stream(buffer.stream_id, buffer.kind, properties)


def _name_of(thread: threading.Thread) -> str:
    """The name of a thread, which may be of any class."""
    try:
        return sendable(thread.name)
    except Exception:
        return f"({type(thread).__name__} without a name)"
