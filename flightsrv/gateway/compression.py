"""Bytes compressed as they pass, in the coding that a client accepts (RFC 9110, section 12.5.3)."""

import zlib
from typing import Protocol

import pyarrow as pa
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_FAST = 1
"""Level of either compressor: traces are large, and the user waits."""


class Compressor(Protocol):
    """Bytes in, bytes out, now or later; what `compress` and then `finish` give, joined, is the compressed whole."""

    def compress(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Gzip:
    """See RFC 1952."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(_FAST, wbits=zlib.MAX_WBITS | 16)

    def compress(self, data: bytes) -> bytes:
        return self._deflate.compress(data)

    def finish(self) -> bytes:
        return self._deflate.flush()


class Zstd:
    """See RFC 8878; several times as fast as gzip."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._stream = pa.CompressedOutputStream(pa.PythonFile(self._pieces, mode="w"), "zstd")

    def compress(self, data: bytes) -> bytes:
        self._stream.write(data)
        return self._pieces.take()

    def finish(self) -> bytes:
        self._stream.close()
        return self._pieces.take()


CODINGS: dict[str, type[Compressor]] = {"zstd": Zstd, "gzip": Gzip}
"""Names as in the header `Content-Encoding`, best first."""


class CompressTexts(GZipMiddleware):
    """Middleware for everything but traces, which see to themselves and must not wait for a compressor to be full."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, minimum_size=1000, compresslevel=_FAST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_text = scope["type"] == "http" and not scope["path"].startswith("/api/perfetto/")
        if is_text and _qualities(Headers(scope=scope).get("accept-encoding", ""))["gzip"] > 0:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def accepted_coding(accept_encoding: str) -> str | None:
    """The best of `CODINGS` that a header `Accept-Encoding` allows; None is to compress nothing."""
    qualities = _qualities(accept_encoding)
    best = max(qualities, key=lambda name: qualities[name])
    return best if qualities[best] > 0 else None


def _qualities(accept_encoding: str) -> dict[str, float]:
    """How much each of `CODINGS` is wanted; 0 is not at all."""
    named: dict[str, float] = {}
    for choice in accept_encoding.lower().split(","):
        name, _, parameter = choice.partition(";")
        named[name.strip()] = _quality(parameter)
    return {name: named.get(name, named.get("*", 0.0)) for name in CODINGS}


def _quality(parameter: str) -> float:
    """What `q=0.5` says; 1 where nothing is said, 0 where it cannot be understood."""
    if not parameter.strip():
        return 1.0
    try:
        return float(parameter.strip().removeprefix("q="))
    except ValueError:
        return 0.0


class _Pieces:
    """A file to write into, emptied by `take`."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing below it."""

    def close(self) -> None:
        """What was written can still be taken."""

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
