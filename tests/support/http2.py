"""As much of HTTP/2 as it takes to open streams and to reset them, which no client library does on purpose."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HEADERS, _RST_STREAM, _SETTINGS = 1, 3, 4
_END_HEADERS = 4
_CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


SETTINGS = frame(_SETTINGS, 0, 0)
GREETING = PREFACE + SETTINGS


def _header(name: str, value: str) -> bytes:
    """A header as plain text, without a table (RFC 7541, section 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def call(stream: int, path: str) -> bytes:
    """The begin of a call."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return frame(_HEADERS, _END_HEADERS, stream, b"".join(_header(*item) for item in headers.items()))


def reset(stream: int) -> bytes:
    """The end of a call that its client does not want any more."""
    return frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))


def calls_left_at_once(first_stream: int, number: int, path: str) -> bytes:
    """Calls, each of them reset as soon as it has begun."""
    streams = range(first_stream, first_stream + 2 * number, 2)
    return b"".join(call(stream, path) + reset(stream) for stream in streams)


def is_open(connection: socket.socket) -> bool:
    """Whether the other end has not closed a connection; what it has said is thrown away."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
