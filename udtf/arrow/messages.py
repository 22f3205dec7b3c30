"""What Arrow IPC messages claim, checked before anything is made of them.

A compressed buffer begins with its size without compression. Arrow allocates that much and decompresses, before
anybody can look at the rows: a few kilobytes become gigabytes, and where a column takes no room at all, as one of
nulls, a number of rows is enough. Bytes that a client sends are therefore read through this module.
"""

from typing import Any

import pyarrow as pa

from udtf.arrow.expansion import expanded_bytes
from udtf.arrow.flatbuffer import ERRORS, INT64, UINT8, Table
from udtf.errors import InvalidArgument

MAX_HEADER_BYTES = 1 << 20
"""Enough for ten thousand columns. What a header lists is read one by one."""

# Of Arrow's Message.fbs: kinds of messages, and the fields of tables.
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_MESSAGE_TYPE, _MESSAGE_HEADER, _MESSAGE_BODY_LENGTH = 1, 2, 3
_DICTIONARY_ID, _DICTIONARY_ROWS, _DICTIONARY_IS_DELTA = 0, 1, 2
_BATCH_LENGTH, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 1, 2, 3

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
        except ERRORS as error:
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
        message = Table.root(header)
        if message.number(_MESSAGE_BODY_LENGTH, INT64) != len(body):
            raise InvalidArgument(f"an Arrow message does not have the {len(body)} bytes that came with it")
        if _OLD_COMPRESSION in header:
            raise InvalidArgument("an Arrow message is compressed in a way that is no longer in use")
        kind = message.number(_MESSAGE_TYPE, UINT8)
        if kind == _DICTIONARY_BATCH:
            dictionary = message.table(_MESSAGE_HEADER)
            dictionary_id = dictionary.number(_DICTIONARY_ID, INT64)
            size_bytes = self._checked_bytes(dictionary.table(_DICTIONARY_ROWS), body)
            if dictionary.number(_DICTIONARY_IS_DELTA, UINT8):
                size_bytes += self._dictionaries.get(dictionary_id, 0)
            self._dictionaries[dictionary_id] = size_bytes
            self._check_size(0)
        elif kind == _RECORD_BATCH:
            self._check_size(self._checked_bytes(message.table(_MESSAGE_HEADER), body))
        elif kind != _SCHEMA:
            raise InvalidArgument(f"an Arrow message is of kind {kind}, expected a schema, a dictionary or rows")

    def _checked_bytes(self, batch: Table, body: memoryview) -> int:
        """What the buffers of a batch take without compression; its numbers of rows are checked on the way."""
        nb_rows = batch.number(_BATCH_LENGTH, INT64)
        if not 0 <= nb_rows <= self._max_rows:
            raise InvalidArgument(f"an Arrow message claims {nb_rows} rows, expected 0 to {self._max_rows}")
        is_compressed = batch.has(_BATCH_COMPRESSION)
        size_bytes = 0
        for offset, length in batch.pairs(_BATCH_BUFFERS):
            if not 0 <= length <= len(body) or not 0 <= offset <= len(body) - length:
                raise InvalidArgument(f"an Arrow message has a buffer at {offset} of {length} bytes in {len(body)}")
            size_bytes += _claimed_bytes(body, offset, length) if is_compressed and length else length
        # A value takes a bit at least, unless all are null: then there is one for each row.
        most = nb_rows + 8 * size_bytes
        for nb_values, nb_nulls in batch.pairs(_BATCH_NODES):
            if not 0 <= nb_nulls <= nb_values <= most:
                raise InvalidArgument(f"an Arrow message claims {nb_values} values, {nb_nulls} of them null")
        return size_bytes

    def _check_size(self, batch_bytes: int) -> None:
        total_bytes = batch_bytes + sum(self._dictionaries.values())
        if total_bytes > self._max_bytes:
            raise InvalidArgument(
                f"an Arrow message takes {total_bytes} bytes without compression, expected at most {self._max_bytes}"
            )


ON_THIS_THREAD = pa.ipc.IpcReadOptions(use_threads=False)
"""To wait for Arrow's threads, each time, takes longer than to decompress small batches."""


def open_stream(data: bytes | pa.Buffer, guard: MessageGuard) -> pa.RecordBatchReader:
    """A reader of the bytes of a stream, whose messages are all checked.

    Raises:
        InvalidArgument: the guard refuses one.
        pa.ArrowInvalid: the bytes are no stream.
    """
    for message in pa.ipc.MessageReader.open_stream(data):
        guard.check(message.metadata, message.body)
    return pa.ipc.open_stream(data, options=ON_THIS_THREAD)


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
    return Table.root(header).number(_MESSAGE_BODY_LENGTH, INT64)


def _claimed_bytes(body: memoryview, offset: int, length: int) -> int:
    """What a compressed buffer says that it takes without compression."""
    if length < INT64.size:
        raise InvalidArgument(f"an Arrow message has a compressed buffer of {length} bytes")
    claimed: int = INT64.unpack_from(body, offset)[0]
    if claimed < _STORED_RAW:
        raise InvalidArgument(f"an Arrow message has a buffer of {claimed} bytes")
    return length - INT64.size if claimed == _STORED_RAW else claimed
