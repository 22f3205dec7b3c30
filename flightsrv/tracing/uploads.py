"""Uploads: what was recorded as bytes, made with the standard library alone and for a receiver that reads columns.

An upload stands for itself, so that it can be sent by any process at any time, more than once, and after others:

    magic           4 bytes, `fsu1`
    size_bytes      uint32, of the body as it is sent
    raw_size_bytes  uint32, of the body before compression
    body            compressed by zlib

    body:
    header_size     uint32
    header          JSON, an object:
        process     the row of the process, by column
        streams     of each stream [stream_id, kind, properties]; kind 0 is that of a thread, 1 that of async spans
        blocks      of each block [stream, object_offset, nb_events, least_ticks]; stream is an index, events that
                    are said to have been earlier than `least_ticks` were not
        codes       codes of the scopes in the events
        scopes      of each code [name, target, filename, line]
    thread_events   of the blocks of kind 0, one after the other: rows of ticks, code (negative: an end)
    async_events    of the blocks of kind 1: rows of ticks, code, span_id, parent_span_id, depth

All integers are little-endian; those of events are int64, and come as byte planes: first the lowest byte of the first
column of all rows, then the next higher byte, and so on to the last column. Most planes hardly change from row to row,
which makes compression twice as good, at less time, than that of rows.
"""

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from flightsrv.tracing.buffers import ASYNC_EVENT_WIDTH, THREAD_EVENT_WIDTH
from flightsrv.tracing.process_info import Description
from flightsrv.tracing.scopes import ScopeTable

MAGIC = b"fsu1"
PREFIX = struct.Struct("<4sII")
HEADER_SIZE = struct.Struct("<I")
INTEGER_BYTES = 8
WIDTHS = (THREAD_EVENT_WIDTH, ASYNC_EVENT_WIDTH)
"""Columns of the events of each kind of stream."""


class Stream(NamedTuple):
    """A stream as uploads have it; `kind` is an index into `WIDTHS`."""

    stream_id: str
    kind: int
    properties: dict[str, str]


class Block(NamedTuple):
    """Consecutive events of a stream, as integers of whole events; the first has that ordinal.

    No event of it shall be earlier than `least_ticks`: a moment is not recorded while it is read, and a signal handler
    may record spans of its own in between.
    """

    stream: Stream
    first_ordinal: int
    integers: list[int]
    least_ticks: int

    @property
    def nb_events(self) -> int:
        return len(self.integers) // WIDTHS[self.stream.kind]


def encode_upload(process: Description, blocks: Sequence[Block], scopes: ScopeTable) -> bytes:
    """The bytes of an upload of one block at least."""
    stream_numbers: dict[str, int] = {}
    streams: list[Stream] = []
    rows: list[tuple[int, int, int, int]] = []
    codes: set[int] = set()
    tables = [array("q") for _ in WIDTHS]
    for block in blocks:
        stream = block.stream
        number = stream_numbers.setdefault(stream.stream_id, len(streams))
        if number == len(streams):
            streams.append(stream)
        rows.append((number, block.first_ordinal, block.nb_events, block.least_ticks))
        codes.update(block.integers[1 :: WIDTHS[stream.kind]])
        tables[stream.kind].extend(array("q", block.integers))
    used = sorted(set(map(abs, codes)))
    header: dict[str, Any] = {
        "process": process,
        "streams": streams,
        "blocks": rows,
        "codes": used,
        "scopes": [scopes[code] for code in used],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    parts = [HEADER_SIZE.pack(len(text)), text]
    for table, width in zip(tables, WIDTHS, strict=True):
        if sys.byteorder == "big":
            table.byteswap()
        values = table.tobytes()
        parts += (values[plane :: width * INTEGER_BYTES] for plane in range(width * INTEGER_BYTES))
    raw = b"".join(parts)
    body = zlib.compress(raw, 1)
    return PREFIX.pack(MAGIC, len(body), len(raw)) + body
