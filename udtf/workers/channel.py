"""A socket that carries messages, rows and other sockets between the engine and its workers."""

import io
import pickle
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_SIZE = struct.Struct("<q")
_NO_MORE_ROWS = 0


class Channel:
    """One end of it. Each direction is for one thread at a time.

    Where the other end is gone, to receive raises EOFError, and to send OSError.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, message: object) -> None:
        """Say something. It may hold schemas, but no types of Arrow by themselves."""
        pickled = io.BytesIO()
        _Pickler(pickled, pickle.HIGHEST_PROTOCOL).dump(message)
        self._send(pickled.getbuffer())

    def receive(self) -> Any:
        """Wait for what the other end says."""
        return pickle.loads(self._receive(self._receive_size()))

    def send_rows(self, batch: pa.RecordBatch) -> None:
        """Send rows, with all that it takes to read them: in one piece, for columns are many and calls take time."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        self._send(sink.getvalue())

    def end_rows(self) -> None:
        """Say that there are no more."""
        self._end.sendall(_SIZE.pack(_NO_MORE_ROWS))

    def receive_rows(self) -> pa.RecordBatch | None:
        """Wait for rows; None if there are no more."""
        size_bytes = self._receive_size()
        if size_bytes == _NO_MORE_ROWS:
            return None
        return pa.ipc.open_stream(self._receive(size_bytes)).read_next_batch()

    def send_socket(self, other: socket.socket) -> None:
        """Hand a socket over."""
        socket.send_fds(self._end, [b"s"], [other.fileno()])

    def receive_socket(self) -> socket.socket:
        """Take a socket over."""
        _, fds, _, _ = socket.recv_fds(self._end, 1, 1)
        if not fds:
            raise EOFError
        return socket.socket(fileno=fds[0])

    def poll(self, timeout_s: float) -> bool:
        """Wait until there is something to receive, or the other end is gone; False if neither came in time."""
        return bool(self._poll.poll(timeout_s * 1000))

    def close(self) -> None:
        self._end.close()

    def _send(self, data: memoryview | pa.Buffer) -> None:
        self._end.sendall(_SIZE.pack(len(data)))
        self._end.sendall(data)

    def _receive_size(self) -> int:
        (size_bytes,) = _SIZE.unpack(self._receive(_SIZE.size))
        return int(size_bytes)

    def _receive(self, size_bytes: int) -> pa.Buffer:
        data = pa.allocate_buffer(size_bytes)
        rest = memoryview(data)
        while rest:
            received = self._end.recv_into(rest)
            if not received:
                raise EOFError
            rest = rest[received:]
        return data


class _Pickler(pickle.Pickler):
    """Writes schemas as Arrow IPC does. Arrow pickles them by way of its constructors in Python, which do not have all
    types."""

    def reducer_override(self, written: Any) -> Any:
        if isinstance(written, pa.Schema):
            return _read_schema, (written.serialize().to_pybytes(),)
        return NotImplemented


def _read_schema(written: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(written))


def rows(channel: Channel) -> Iterator[pa.RecordBatch]:
    """All rows that come."""
    while (batch := channel.receive_rows()) is not None:
        yield batch
