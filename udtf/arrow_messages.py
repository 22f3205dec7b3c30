"""What Arrow IPC messages claim, checked before anything is made of them.

A compressed buffer begins with its size without compression. Arrow allocates that much and decompresses, before
anybody can look at the rows: a few kilobytes become gigabytes, and where a column takes no room at all, as one of
nulls, a number of rows is enough. Bytes that a client sends are therefore read through this module.
"""

import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from udtf.errors import InvalidArgument
from udtf.expansion import expanded_bytes

MAX_HEADER_BYTES = 1 << 20
"""Enough for ten thousand columns. What a header lists is read one by one."""

# Of Arrow's Message.fbs: kinds of messages, and where tables keep their fields.
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_MESSAGE_TYPE, _MESSAGE_HEADER, _MESSAGE_BODY_LENGTH = 6, 8, 10
_DICTIONARY_ID, _DICTIONARY_ROWS, _DICTIONARY_IS_DELTA = 4, 6, 8
_BATCH_LENGTH, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = 4, 6, 8, 10

_PAIR = struct.Struct("<qq")
"""A node (length, number of nulls) or a buffer (offset, length)."""
_SIZE = struct.Struct("<q")
_STORED_RAW = -1

_OLD_COMPRESSION = b"ARROW:experimental_compression"
"""A key of metadata by which Arrow of 2020 said how a message is compressed. Arrow still believes it."""


class MessageGuard:
    """Checks the messages of one stream, in their order.

    A record batch together with the dictionaries known by then may take `max_bytes` without compression, and have
    `max_rows` rows.
    """

    def __init__(self, max_bytes: int, max_rows: int) -> None:
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._dictionaries: dict[int, int] = {}

    def check(self, header: bytes | pa.Buffer, body: bytes | pa.Buffer) -> None:
        """Check the two parts of a message.

        Raises:
            InvalidArgument: it would take too much, or is no message of a stream.
        """
        if len(header) > MAX_HEADER_BYTES:
            raise InvalidArgument(f"an Arrow message has a header of {len(header)} bytes, at most {MAX_HEADER_BYTES}")
        try:
            self._check(bytes(header), memoryview(body))
        except (struct.error, IndexError, TypeError, ValueError) as error:
            raise InvalidArgument("the header of an Arrow message cannot be read") from error

    def check_rows(self, batch: pa.RecordBatch) -> None:
        """Check the rows of a message, which must be valid Arrow.

        Raises:
            InvalidArgument: they would take too much, if they were decoded.
        """
        size_bytes = sum(map(expanded_bytes, batch.columns))
        if size_bytes > self._max_bytes:
            raise InvalidArgument(
                f"an Arrow message takes {size_bytes} bytes without dictionaries, expected at most {self._max_bytes}"
            )

    def _check(self, header: bytes, body: memoryview) -> None:
        message = _root(header)
        if _number(message, _MESSAGE_BODY_LENGTH, number_types.Int64Flags) != len(body):
            raise InvalidArgument(f"an Arrow message does not have the {len(body)} bytes that came with it")
        if _OLD_COMPRESSION in header:
            raise InvalidArgument("an Arrow message is compressed in a way that is no longer in use")
        kind = _number(message, _MESSAGE_TYPE, number_types.Uint8Flags)
        if kind == _DICTIONARY_BATCH:
            dictionary = _table(message, _MESSAGE_HEADER)
            dictionary_id = _number(dictionary, _DICTIONARY_ID, number_types.Int64Flags)
            size_bytes = self._checked_bytes(_table(dictionary, _DICTIONARY_ROWS), body)
            if _number(dictionary, _DICTIONARY_IS_DELTA, number_types.BoolFlags):
                size_bytes += self._dictionaries.get(dictionary_id, 0)
            self._dictionaries[dictionary_id] = size_bytes
            self._check_size(0)
        elif kind == _RECORD_BATCH:
            self._check_size(self._checked_bytes(_table(message, _MESSAGE_HEADER), body))
        elif kind != _SCHEMA:
            raise InvalidArgument(f"an Arrow message is of kind {kind}, expected a schema, a dictionary or rows")

    def _checked_bytes(self, batch: Table, body: memoryview) -> int:
        """What the buffers of a batch take without compression; its numbers of rows are checked on the way."""
        nb_rows = _number(batch, _BATCH_LENGTH, number_types.Int64Flags)
        if not 0 <= nb_rows <= self._max_rows:
            raise InvalidArgument(f"an Arrow message claims {nb_rows} rows, expected 0 to {self._max_rows}")
        is_compressed = batch.Offset(_BATCH_COMPRESSION) != 0
        size_bytes = sum(
            _buffer_bytes(body, offset, length, is_compressed=is_compressed)
            for offset, length in _pairs(batch, _BATCH_BUFFERS)
        )
        # A value takes a bit at least, unless all are null: then there is one for each row.
        most = nb_rows + 8 * size_bytes
        for nb_values, nb_nulls in _pairs(batch, _BATCH_NODES):
            if not 0 <= nb_nulls <= nb_values <= most:
                raise InvalidArgument(f"an Arrow message claims {nb_values} values, {nb_nulls} of them null")
        return size_bytes

    def _check_size(self, batch_bytes: int) -> None:
        total_bytes = batch_bytes + sum(self._dictionaries.values())
        if total_bytes > self._max_bytes:
            raise InvalidArgument(
                f"an Arrow message takes {total_bytes} bytes without compression, expected at most {self._max_bytes}"
            )


def open_stream(data: bytes | pa.Buffer, guard: MessageGuard) -> pa.RecordBatchReader:
    """A reader of the bytes of a stream, of which all messages and the schema are checked.

    Raises:
        InvalidArgument: one of them is refused.
        pa.ArrowInvalid: the bytes are no stream.
    """
    for message in pa.ipc.MessageReader.open_stream(data):
        guard.check(message.metadata, message.body)
    reader = pa.ipc.open_stream(data)
    check_names(reader.schema)
    return reader


def check_names(schema: pa.Schema) -> None:
    """Raise InvalidArgument if a name in a schema is no text: Arrow does not look, and Python cannot read it."""
    try:
        for field in schema:
            _read_names(field)
    except UnicodeDecodeError as error:
        raise InvalidArgument("an Arrow schema has a name that is not UTF-8") from error


def _read_names(field: pa.Field) -> list[Any]:
    """The names in a field, of itself, of time zones and of fields within it."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    zones = [kind.tz] if pa.types.is_timestamp(kind) else []
    return [field.name, *zones, *(_read_names(kind.field(i)) for i in range(kind.num_fields))]


def body_bytes(header: bytes) -> int:
    """The size of the body of a message, by a header that can be trusted."""
    return _number(_root(header), _MESSAGE_BODY_LENGTH, number_types.Int64Flags)


def _root(header: bytes) -> Table:
    return Table(header, encode.Get(packer.uoffset, header, 0))


def _buffer_bytes(body: memoryview, offset: int, length: int, *, is_compressed: bool) -> int:
    """What a buffer of a message takes without compression."""
    if not (0 <= offset <= len(body) and 0 <= length <= len(body) - offset):
        raise InvalidArgument(f"an Arrow message has a buffer at {offset} of {length} bytes in {len(body)}")
    if not is_compressed or not length:
        return length
    (claimed,) = _SIZE.unpack_from(body[offset : offset + length])
    if claimed < _STORED_RAW:
        raise InvalidArgument(f"an Arrow message has a buffer of {claimed} bytes")
    return length - _SIZE.size if claimed == _STORED_RAW else int(claimed)


def _number(table: Table, field: int, kind: Any) -> int:
    """A field of a table; 0 where it is left out."""
    return int(table.GetSlot(field, 0, kind))


def _table(table: Table, field: int) -> Table:
    offset = table.Offset(field)
    if not offset:
        raise ValueError("a table is missing")
    return Table(table.Bytes, table.Indirect(offset + table.Pos))


def _pairs(table: Table, field: int) -> Iterator[tuple[int, int]]:
    """The pairs in a list of a table."""
    offset = table.Offset(field)
    if not offset:
        return iter(())
    begin, size_bytes = table.Vector(offset), table.VectorLen(offset) * _PAIR.size
    pairs = table.Bytes[begin : begin + size_bytes]
    if len(pairs) < size_bytes:
        raise ValueError("a list is cut short")
    return _PAIR.iter_unpack(pairs)
