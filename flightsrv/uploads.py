"""Reads what `flightsrv.tracing` sends, by columns, and hands it on as rows to ingest.

The bytes are described in `flightsrv/tracing/uploads.py`.
"""

import zlib
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flightsrv.storing import Uploads
from flightsrv.telemetry import Process, Stream
from flightsrv.tracing.buffers import LINK, MEASURE, THREAD, WIDTHS
from flightsrv.tracing.uploads import HEADER_SIZE, INTEGER_BYTES, MAGIC, PREFIX, TEXT_COLUMNS, VALUE_COLUMN
from udtf.lake import schemas
from udtf.lake.block_format import BEGIN, END, Scope, scope_array

MAX_UPLOADS_BYTES = 16 << 20
"""Of a request."""
MAX_RAW_BYTES = 64 << 20
"""Of all uploads of a request, without compression."""

_TICKS, _CODES, _SPAN_IDS, _PARENTS, _DEPTHS = range(5)
"""Columns of events; threads have the first two, as have logs and counters."""
_SIZE_BYTES = 4
"""Of the size of the attributes of an event."""
_LEVELS = 2
"""Column of logs."""
_FROM_TICKS, _FROM_STREAMS, _LINKED, _FROM_SPANS = range(2, 6)
"""Columns of links."""


class _Kind(NamedTuple):
    """The column of `blocks` that holds the events of a kind, and the tag of its streams."""

    column: str
    tag: str


_KINDS = (
    _Kind("thread_events", schemas.THREAD_TAG),
    _Kind("async_events", schemas.ASYNC_TAG),
    _Kind("log_entries", schemas.LOG_TAG),
    _Kind("measures", schemas.MEASURE_TAG),
    _Kind("links", schemas.LINK_TAG),
)
"""In the order of `WIDTHS`."""

Int64s = npt.NDArray[np.int64]
_Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class InvalidUpload(Exception):
    """The bytes are no uploads; the message says what is wrong."""


class _Process(BaseModel):
    model_config = ConfigDict(extra="forbid")

    process_id: str
    tsc_frequency: _Int64
    start_time_ns: _Int64
    start_ticks: _Int64
    exe: str | None
    username: str | None
    realname: str | None
    computer: str | None
    distro: str | None
    cpu_brand: str | None
    parent_process_id: str | None
    properties: dict[str, str]


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    process: _Process
    streams: list[tuple[str, Annotated[int, Field(ge=0, lt=len(WIDTHS))], dict[str, str]]]
    blocks: list[tuple[_Count, _Count, _Count, _Int64]]
    codes: list[_Count]
    scopes: list[tuple[str, str, str, Annotated[int, Field(ge=0, lt=1 << 32)]]]
    texts: list[str] = []
    attributes: Annotated[list[_Count], Field(max_length=len(WIDTHS))] = [0] * len(WIDTHS)


def decode_uploads(data: bytes) -> Uploads:
    """The uploads of a request.

    Raises:
        InvalidUpload: these are none.
    """
    if not data:
        raise InvalidUpload("expected one upload at least, nothing was sent")
    processes: dict[str, Process] = {}
    streams: dict[str, Stream] = {}
    gathered = [_Gathered(kind) for kind in range(len(WIDTHS))]
    scopes: list[Scope] = []
    texts: list[str] = []
    position = raw_bytes = 0
    while position < len(data):
        if len(data) - position < PREFIX.size:
            raise InvalidUpload(f"an upload begins with {PREFIX.size} bytes, {len(data) - position} are there")
        magic, size_bytes, raw_size_bytes = PREFIX.unpack_from(data, position)
        if magic != MAGIC:
            raise InvalidUpload(f"expected an upload, which begins with {MAGIC!r}, not {magic!r}")
        raw_bytes += raw_size_bytes
        if raw_bytes > MAX_RAW_BYTES:
            raise InvalidUpload(f"uploads of a request have at most {MAX_RAW_BYTES} bytes without compression")
        position += PREFIX.size
        header, content = _parts(data[position : position + size_bytes], raw_size_bytes)
        position += size_bytes
        process = header.process
        processes[process.process_id] = Process(**process.model_dump())
        own = [_stream(process.process_id, *stream) for stream in header.streams]
        streams |= {stream.stream_id: stream for stream in own}
        _gather(header, own, content, len(scopes), len(texts), gathered)
        scopes += (Scope(*scope) for scope in header.scopes)
        texts += header.texts
    blocks = _blocks_batch(gathered, scope_array(scopes), pa.array(texts, pa.utf8()))
    return Uploads(list(processes.values()), list(streams.values()), blocks)


def _parts(body: bytes, raw_size_bytes: int) -> tuple[_Header, memoryview]:
    """The header, and the events."""
    try:
        decompressor = zlib.decompressobj()
        raw = decompressor.decompress(body, raw_size_bytes + 1)
    except zlib.error as error:
        raise InvalidUpload(f"the body of an upload cannot be decompressed: {error}") from None
    if len(raw) != raw_size_bytes or not decompressor.eof or decompressor.unused_data:
        raise InvalidUpload(f"the body of an upload has not the {raw_size_bytes} bytes that it should have")
    if len(raw) < HEADER_SIZE.size:
        raise InvalidUpload("an upload has no header")
    (header_size,) = HEADER_SIZE.unpack_from(raw)
    begin, end = HEADER_SIZE.size, HEADER_SIZE.size + header_size
    if end > len(raw):
        raise InvalidUpload("the header of an upload ends behind its end")
    try:
        return _Header.model_validate_json(raw[begin:end]), memoryview(raw)[end:]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "JSON"
        raise InvalidUpload(f"the header of an upload: {place}: {first['msg']}") from None


def _stream(process_id: str, stream_id: str, kind: int, properties: dict[str, str]) -> Stream:
    return Stream(stream_id, process_id, (_KINDS[kind].tag,), properties)


class _Gathered:
    """Blocks of one kind of all uploads, and the columns of their events."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.streams: list[Stream] = []
        self.first_ordinals: list[Int64s] = [np.zeros(0, np.int64)]
        self.counts: list[Int64s] = [np.zeros(0, np.int64)]
        self.columns: list[list[Int64s]] = [[np.zeros(0, np.int64)] for _ in range(WIDTHS[kind])]
        self.scopes: list[Int64s] = [np.zeros(0, np.int64)]
        """Of each event the row in the table of scopes."""
        self.noted: list[Int64s] = []
        """Which events have attributes."""
        self.attributes: list[pa.BinaryArray] = []
        """Those of them."""

    @property
    def nb_events(self) -> int:
        return sum(map(len, self.scopes))


def _gather(
    header: _Header,
    streams: Sequence[Stream],
    content: memoryview,
    first_scope: int,
    first_text: int,
    gathered: Sequence[_Gathered],
) -> None:
    """Add the blocks of an upload that have events; the scopes and texts of the uploads before it come first."""
    blocks = np.array(header.blocks, np.int64).reshape(-1, 4)
    stream_numbers, first_ordinals, counts, least_ticks = blocks.T
    if np.any(stream_numbers >= len(streams)):
        raise InvalidUpload(f"a block is of stream {stream_numbers.max()}, expected less than {len(streams)}")
    # So that their sum does not overflow.
    if np.any(counts > len(content)):
        raise InvalidUpload(f"a block has {counts.max()} events in {len(content)} bytes")
    kinds = np.array([kind for _, kind, _ in header.streams], np.int64)[stream_numbers]
    codes = np.array(header.codes, np.int64)
    if len(codes) != len(header.scopes) or np.any(codes[1:] <= codes[:-1]):
        raise InvalidUpload("expected ascending codes, one of each scope")
    sizes = [int(counts[kinds == kind].sum()) * width * INTEGER_BYTES for kind, width in enumerate(WIDTHS)]
    noted, attributes = _attributes(header, content, sum(sizes))
    position = nb_noted = 0
    for kind, (width, size) in enumerate(zip(WIDTHS, sizes, strict=True)):
        of_kind = gathered[kind]
        chosen = np.flatnonzero((kinds == kind) & (counts > 0))
        columns = _columns(content[position : position + size], width)
        position += size
        columns[_TICKS] = _never_decreasing(columns[_TICKS], counts[chosen], least_ticks[chosen])
        if kind in TEXT_COLUMNS:
            numbers = columns[TEXT_COLUMNS[kind]]
            if np.any((numbers < 0) | (numbers >= len(header.texts))):
                raise InvalidUpload(f"an event has a text that is not one of the {len(header.texts)} of its upload")
            columns[TEXT_COLUMNS[kind]] = numbers + first_text
        of_kind.streams += [streams[number] for number in stream_numbers[chosen].tolist()]
        of_kind.first_ordinals.append(first_ordinals[chosen])
        of_kind.counts.append(counts[chosen])
        if nb_of_kind := sum(header.attributes[kind : kind + 1]):
            rows = noted[nb_noted : nb_noted + nb_of_kind]
            if np.any(rows[1:] <= rows[:-1]) or rows[0] < 0 or rows[-1] >= len(columns[_TICKS]):
                raise InvalidUpload(f"expected attributes of {len(columns[_TICKS])} events, in their order")
            of_kind.noted.append(rows + of_kind.nb_events)
            of_kind.attributes.append(attributes.slice(nb_noted, nb_of_kind))
            nb_noted += nb_of_kind
        of_kind.scopes.append(_scopes(columns[_CODES], codes) + first_scope)
        for parts, column in zip(of_kind.columns, columns, strict=True):
            parts.append(column)


def _attributes(header: _Header, content: memoryview, events_bytes: int) -> tuple[Int64s, pa.BinaryArray]:
    """Which events have attributes, kind by kind, and these, which come after all events."""
    count = sum(header.attributes)
    head_bytes = count * (INTEGER_BYTES + _SIZE_BYTES)
    if events_bytes + head_bytes > len(content):
        raise InvalidUpload(
            f"the events of the blocks have {events_bytes} bytes, and what says which have attributes {head_bytes}; "
            f"the upload has {len(content)}"
        )
    part = content[events_bytes:]
    rows = np.frombuffer(part, "<i8", count).astype(np.int64, copy=False)
    sizes = np.frombuffer(part, "<u4", count, count * INTEGER_BYTES)
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    data = part[head_bytes:]
    if offsets[-1] != len(data):
        raise InvalidUpload(
            f"the attributes of the events have {offsets[-1]} bytes, the upload has {len(data)} for them"
        )
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return rows, pa.Array.from_buffers(pa.binary(), count, buffers)


def _blocks_batch(gathered: Sequence[_Gathered], scopes: pa.StructArray, texts: pa.StringArray) -> pa.RecordBatch:
    """Rows of the table `blocks`, kind by kind."""
    streams = [stream for of_kind in gathered for stream in of_kind.streams]
    columns = {
        "stream_id": pa.array([stream.stream_id for stream in streams], pa.utf8()),
        "process_id": pa.array([stream.process_id for stream in streams], pa.utf8()),
        "object_offset": pa.array(np.concatenate([part for of_kind in gathered for part in of_kind.first_ordinals])),
    }
    first_row = 0
    for of_kind, (name, _) in zip(gathered, _KINDS, strict=True):
        counts = np.zeros(len(streams), np.int64)
        is_other = np.ones(len(streams), bool)
        own = slice(first_row, first_row + len(of_kind.streams))
        counts[own] = np.concatenate(of_kind.counts)
        is_other[own] = False
        first_row += len(of_kind.streams)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        events = _with_attributes(of_kind, _event_array(of_kind, scopes, texts))
        columns[name] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), events, mask=pa.array(is_other))
    return pa.record_batch(columns)


def _columns(content: memoryview, width: int) -> list[Int64s]:
    """Columns out of byte planes."""
    planes = np.frombuffer(content, np.uint8).reshape(width, INTEGER_BYTES, -1)
    return [np.ascontiguousarray(column.T).view("<i8").reshape(-1).astype(np.int64, copy=False) for column in planes]


def _never_decreasing(ticks: Int64s, counts: Int64s, least_ticks: Int64s) -> Int64s:
    """Ticks in the order of the events of each block, for those that were not read in that order."""
    bounds = np.concatenate(([0], np.cumsum(counts)))
    first = bounds[:-1]
    is_early = np.zeros(len(ticks), bool)
    is_early[1:] = ticks[1:] < ticks[:-1]
    is_early[first] = ticks[first] < least_ticks
    if not is_early.any():
        return ticks
    fixed = ticks.copy()
    for block in np.unique(np.searchsorted(bounds, np.flatnonzero(is_early), "right") - 1).tolist():
        part = fixed[bounds[block] : bounds[block + 1]]
        np.maximum.accumulate(np.maximum(part, least_ticks[block]), out=part)
    return fixed


def _scopes(recorded: Int64s, codes: Int64s) -> Int64s:
    """Of each event the index of its code."""
    indices = np.searchsorted(codes, np.abs(recorded))
    if np.any(indices >= len(codes)) or np.any(codes[indices] != np.abs(recorded)):
        raise InvalidUpload("an event has a code without a scope")
    return indices


def _with_attributes(of_kind: _Gathered, events: pa.StructArray) -> pa.StructArray:
    """The same with a field of attributes, if there are some."""
    if not of_kind.noted:
        return events
    some = pa.concat_arrays(of_kind.attributes)
    places = np.full(len(events), len(some), np.int64)
    places[np.concatenate(of_kind.noted)] = np.arange(len(some))
    attributes = pa.concat_arrays([some, pa.array([b""], pa.binary())]).take(pa.array(places))
    return pa.StructArray.from_arrays([*events.flatten(), attributes], fields=[*events.type, schemas.ATTRIBUTES])


def _event_array(events: _Gathered, scopes: pa.StructArray, texts: pa.StringArray) -> pa.StructArray:
    columns = [np.concatenate(parts) for parts in events.columns]
    ticks = pa.array(columns[_TICKS])
    scope = pa.DictionaryArray.from_arrays(pa.array(np.concatenate(events.scopes).astype(np.int32)), scopes)
    if events.kind in TEXT_COLUMNS:
        text = texts.take(pa.array(columns[TEXT_COLUMNS[events.kind]]))
        if events.kind == MEASURE:
            values = pa.array(columns[VALUE_COLUMN].view(np.float64))
            return pa.StructArray.from_arrays([ticks, scope, text, values], fields=list(schemas.MEASURE))
        if events.kind == LINK:
            others = [pa.array(columns[number]) for number in (_LINKED, _FROM_SPANS)]
            arrays = [ticks, pa.array(columns[_FROM_TICKS]), scope, text, *others]
            return pa.StructArray.from_arrays(arrays, fields=list(schemas.LINK))
        levels = columns[_LEVELS]
        if np.any((levels < 0) | (levels > 255)):
            raise InvalidUpload("an entry of a log has a level below 0 or above 255")
        arrays = [ticks, pa.array(levels.astype(np.uint8)), scope, text]
        return pa.StructArray.from_arrays(arrays, fields=list(schemas.LOG_ENTRY))
    arrays = [ticks, pa.array(np.where(columns[_CODES] > 0, BEGIN, END).astype(np.uint8)), scope]
    if events.kind == THREAD:
        return pa.StructArray.from_arrays(arrays, fields=list(schemas.THREAD_EVENT))
    depths = columns[_DEPTHS]
    if np.any((depths < 0) | (depths >= 1 << 32)):
        raise InvalidUpload("an event has a depth below 0 or above 4294967295")
    arrays += [pa.array(columns[_SPAN_IDS]), pa.array(columns[_PARENTS]), pa.array(depths.astype(np.uint32))]
    return pa.StructArray.from_arrays(arrays, fields=list(schemas.ASYNC_EVENT))
