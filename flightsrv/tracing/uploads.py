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
        streams     of each stream [stream_id, kind, properties]; kind 0 is that of a thread, 1 that of async spans,
                    2 that of a log, 3 that of counters, 4 that of links
        blocks      of each block [stream, object_offset, nb_events, least_ticks]; stream is an index, events that
                    are said to have been earlier than `least_ticks` were not
        codes       codes of the scopes in the events
        scopes      of each code [name, target, filename, line]
        texts       what is said in logs, units of counters, and streams that links begin in, each once
        attributes  of each kind how many events have attributes; missing if none has any
    thread_events   of the blocks of kind 0, one after the other: rows of ticks, code (negative: an end)
    async_events    of the blocks of kind 1: rows of ticks, code, span_id, parent_span_id, depth
    log_entries     of the blocks of kind 2: rows of ticks, code, level, text
    measures        of the blocks of kind 3: rows of ticks, code, text of the unit, bits of the value as a float64
    links           of the blocks of kind 4: rows of ticks, code, from_ticks, text of the stream, span_id, from_span_id
    attributes      of the events that have some, kind by kind: int64 row among those of the kind, of all; uint32 size
                    in bytes, of all; the bytes themselves (`udtf/lake/attributes.py`), of all

All integers are little-endian; those of events are int64, and come as byte planes: first the lowest byte of the first
column of all rows, then the next higher byte, and so on to the last column. Most planes hardly change from row to row,
which makes compression twice as good, at less time, than that of rows.
"""

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from flightsrv.tracing.attributes import encode, noted_chars
from flightsrv.tracing.buffers import LINK, LOG, MEASURE, WIDTHS
from flightsrv.tracing.process_info import Description
from flightsrv.tracing.scopes import ScopeTable

MAGIC = b"fsu1"
PREFIX = struct.Struct("<4sII")
HEADER_SIZE = struct.Struct("<I")
INTEGER_BYTES = 8
TEXT_COLUMNS = {LOG: 3, MEASURE: 2, LINK: 3}
"""Where the number of a text is in the events of a kind."""
VALUE_COLUMN = 3
"""Where the bits of a float are in those of counters."""
_PACED_EVENTS = 16
"""With attributes, so many take some hundredths of a millisecond."""


class Stream(NamedTuple):
    """A stream as uploads have it; `kind` is an index into `WIDTHS`."""

    stream_id: str
    kind: int
    properties: dict[str, str]


class Block(NamedTuple):
    """Consecutive events of a stream, as items of whole events, which are integers but for texts and values; the first
    has that ordinal.

    No event of it shall be earlier than `least_ticks`: a moment is not recorded while it is read, and a signal handler
    may record spans of its own in between.
    """

    stream: Stream
    first_ordinal: int
    items: list[Any]
    least_ticks: int
    may_have_attributes: bool = False

    @property
    def nb_events(self) -> int:
        return len(self.items) // WIDTHS[self.stream.kind]

    def count_chars(self) -> int:
        """Size of its texts and attributes."""
        width, column = WIDTHS[self.stream.kind], TEXT_COLUMNS.get(self.stream.kind)
        chars = 0 if column is None else sum(map(len, self.items[column::width]))
        return chars + (noted_chars(self.items[1::width]) if self.may_have_attributes else 0)


def raw_size_bytes_of(upload: bytes) -> int:
    """Of an upload, without compression."""
    raw_size_bytes: int = PREFIX.unpack_from(upload)[2]
    return raw_size_bytes


def encode_upload(
    process: Description, blocks: Sequence[Block], scopes: ScopeTable, pace: Callable[[], None] = lambda: None
) -> bytes:
    """The bytes of an upload of one block at least. `pace` is called now and then."""
    stream_numbers: dict[str, int] = {}
    streams: list[Stream] = []
    rows: list[tuple[int, int, int, int]] = []
    codes: set[int] = set()
    texts: dict[str, int] = {}
    tables = [array("q") for _ in WIDTHS]
    noted = [_Noted([], []) for _ in WIDTHS]
    for block in blocks:
        pace()
        stream = block.stream
        if block.may_have_attributes:
            first_row = len(tables[stream.kind]) // WIDTHS[stream.kind]
            block = _without_attributes(block, first_row, noted[stream.kind], pace)
        number = stream_numbers.setdefault(stream.stream_id, len(streams))
        if number == len(streams):
            streams.append(stream)
        rows.append((number, block.first_ordinal, block.nb_events, block.least_ticks))
        codes.update(block.items[1 :: WIDTHS[stream.kind]])
        integers = _integers(block, texts)
        pace()
        tables[stream.kind].extend(array("q", integers))
    used = sorted(set(map(abs, codes)))
    header: dict[str, Any] = {
        "process": process,
        "streams": streams,
        "blocks": rows,
        "codes": used,
        "scopes": [scopes[code] for code in used],
        "texts": list(texts),
    }
    if any(of_kind.rows for of_kind in noted):
        header["attributes"] = [len(of_kind.rows) for of_kind in noted]
    text = json.dumps(header, separators=(",", ":")).encode()
    parts = [HEADER_SIZE.pack(len(text)), text]
    for table, width in zip(tables, WIDTHS, strict=True):
        pace()
        if sys.byteorder == "big":
            table.byteswap()
        values = table.tobytes()
        parts += (values[plane :: width * INTEGER_BYTES] for plane in range(width * INTEGER_BYTES))
    noted_rows = [row for of_kind in noted for row in of_kind.rows]
    attributes = [data for of_kind in noted for data in of_kind.attributes]
    parts.append(struct.pack(f"<{len(noted_rows)}q", *noted_rows))
    parts.append(struct.pack(f"<{len(attributes)}I", *map(len, attributes)))
    parts += attributes
    pace()
    raw = b"".join(parts)
    body = zlib.compress(raw, 1)
    return PREFIX.pack(MAGIC, len(body), len(raw)) + body


class _Noted(NamedTuple):
    """Which of the events of a kind have attributes, by row, and the bytes of these."""

    rows: list[int]
    attributes: list[bytes]


def _without_attributes(block: Block, first_row: int, noted: _Noted, pace: Callable[[], None]) -> Block:
    """A block with nothing but codes; the attributes of its events, which begin at that row, are added to `noted`."""
    width = WIDTHS[block.stream.kind]
    items = list(block.items)
    codes = items[1::width]
    for row, code in enumerate(codes):
        if type(code) is tuple:
            codes[row] = code[0]
            noted.rows.append(first_row + row)
            noted.attributes.append(encode(code[1]))
            if not len(noted.rows) % _PACED_EVENTS:
                pace()
    items[1::width] = codes
    return block._replace(items=items)


def _integers(block: Block, texts: dict[str, int]) -> list[int]:
    """The items of a block as integers: texts by their numbers, with those that are new added, and values by their
    bits."""
    kind = block.stream.kind
    column = TEXT_COLUMNS.get(kind)
    if column is None:
        return block.items
    width = WIDTHS[kind]
    integers = list(block.items)
    of_block = integers[column::width]
    new = [text for text in dict.fromkeys(of_block) if text not in texts]
    texts.update(zip(new, count(len(texts)), strict=False))
    integers[column::width] = map(texts.__getitem__, of_block)
    if kind == MEASURE:
        bits = array("q")
        bits.frombytes(array("d", integers[VALUE_COLUMN::width]).tobytes())
        integers[VALUE_COLUMN::width] = bits
    return integers
