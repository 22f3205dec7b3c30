"""Arrow IPC streams taken apart into messages, and put together again.

Arrow's functions for single messages know nothing of dictionaries, and copy. Its streams do neither.
"""

import io
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from udtf.arrow.messages import body_bytes

Pieces: TypeAlias = list[Any]
"""Bytes or buffers that follow each other."""

_CONTINUATION = b"\xff\xff\xff\xff"
_SIZE = struct.Struct("<i")


class Message(NamedTuple):
    """A message of a stream, without what says where it begins and ends."""

    header: Pieces
    body: Pieces


class MessageWriter:
    """Makes the messages of record batches. Nothing is copied."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(self._sink, schema)
        self._has_begun = False

    def write(self, batch: pa.RecordBatch) -> list[Message]:
        """Dictionaries that are new or have changed, and as the last message the rows."""
        self._writer.write_batch(batch)
        pieces = self._sink.take()
        messages = []
        for _continuation in pieces:
            (header_bytes,) = _SIZE.unpack(next(pieces))
            header = _take(pieces, header_bytes)
            messages.append(Message(header, _take(pieces, body_bytes(header[0]))))
        if not self._has_begun:
            # Arrow writes the schema with the first batch.
            self._has_begun = True
            del messages[0]
        return messages


class MessageReader(io.RawIOBase):
    """A stream as a file, made of messages when they are needed: each is a pair of its header and its body."""

    def __init__(self, messages: Iterator[tuple[bytes, bytes]]) -> None:
        self._messages = messages
        self._pieces: deque[bytes] = deque()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, unless the stream ends. Arrow asks for what it wants of a message part by part, so that
        nothing is copied here."""
        parts = []
        while size > 0 and (self._pieces or self._fetch()):
            part = self._pieces.popleft()
            if len(part) > size:
                self._pieces.appendleft(part[size:])
                part = part[:size]
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fetch(self) -> bool:
        message = next(self._messages, None)
        if message is None:
            return False
        header, body = message
        self._pieces.extend(piece for piece in (_CONTINUATION, _SIZE.pack(len(header)), header, body) if piece)
        return True


class _Sink(io.RawIOBase):
    """Keeps what Arrow writes as it comes: a piece for each part of a message."""

    def __init__(self) -> None:
        self._pieces: Pieces = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> Iterator[Any]:
        """The pieces since the last time."""
        pieces, self._pieces = self._pieces, []
        return iter(pieces)


def _take(pieces: Iterator[Any], size_bytes: int) -> Pieces:
    """The next pieces, which have this size together."""
    taken: Pieces = []
    while size_bytes:
        taken.append(next(pieces))
        size_bytes -= len(taken[-1])
    return taken
