"""OTLP/HTTP: `POST /v1/logs` and so on, in protobuf or JSON, whose telemetry goes on to the server with the caller's
credentials.

What goes wrong is told as the protocol has it: a `google.rpc.Status` in the encoding of the request.
"""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable

import pyarrow as pa
from google.rpc.status_pb2 import Status
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from flightsrv.client import FlightsrvError, InvalidRequest, QueryClient, TooMuch, Unavailable
from flightsrv.gateway.callers import PRINTABLE, Callers
from flightsrv.gateway.errors import status_of, words_of
from flightsrv.importers.otlp import MAX_EXPORT_BYTES, SIGNALS, Encoding, Exports, InvalidExport, Signal, encode

PATHS = [signal.path for signal in SIGNALS.values()]

MAX_BYTES = 8 * MAX_EXPORT_BYTES
"""Of the bodies of all requests that are under way; further ones are to come again."""
MAX_AT_ONCE = 4
"""How many requests are decoded and stored at once."""
STORE_TIMEOUT_S = 45.0
RETRY_AFTER_S = "1"

_GRPC_CODES = {400: 3, 401: 16, 403: 7, 413: 11, 415: 3, 429: 8, 500: 13, 503: 14}
_RETRYABLE = (429, 502, 503, 504)


class _Refused(Exception):
    """How a request is answered that is not taken."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ExportRoutes:
    """The routes of this module, which share room for bodies."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._exports = Exports()
        self._used_bytes = 0
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)

    def routes(self) -> list[Route]:
        return [Route(signal.path, self._answering(signal), methods=["POST"]) for signal in SIGNALS.values()]

    def _answering(self, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            encoding = Encoding.PROTOBUF
            try:
                encoding = _encoding_of(request)
                return _response(200, await self._store(signal, encoding, request), encoding)
            except (_Refused, HTTPException) as error:
                status = error.status if isinstance(error, _Refused) else error.status_code
                message = error.message if isinstance(error, _Refused) else error.detail
            except FlightsrvError as error:
                status, message = status_of(error), words_of(error)
            code = _GRPC_CODES.get(status, 13)
            return _response(status, encode(Status(code=code, message=message), encoding), encoding)

        return answer

    async def _store(self, signal: Signal, encoding: Encoding, request: Request) -> bytes:
        client = self._client_of(request)
        is_compressed = _is_compressed(request)
        # Not all tell how long they are.
        size_bytes = int(text) if (text := request.headers.get("content-length", "")).isdigit() else MAX_EXPORT_BYTES
        if size_bytes > MAX_EXPORT_BYTES:
            raise _Refused(413, f"a request has at most {MAX_EXPORT_BYTES} bytes")
        if self._used_bytes + size_bytes > MAX_BYTES:
            raise _Refused(429, "too much telemetry comes in at once; send again")
        self._used_bytes += size_bytes
        try:
            try:
                body = await request.body()
            except ClientDisconnect:
                raise _Refused(400, "the body is not complete") from None
            async with self._turns:
                return await run_in_threadpool(self._take, client, signal, encoding, body, is_compressed)
        finally:
            self._used_bytes -= size_bytes

    def _client_of(self, request: Request) -> QueryClient:
        authorization = request.headers.get("authorization")
        if authorization is not None and not re.fullmatch(PRINTABLE, authorization):
            raise _Refused(401, "the header authorization has characters that no token has")
        return self._callers(authorization)

    def _take(self, client: QueryClient, signal: Signal, encoding: Encoding, body: bytes, is_compressed: bool) -> bytes:
        def ingest(table: str, rows: pa.RecordBatch) -> None:
            client.ingest(table, rows, timeout_seconds=STORE_TIMEOUT_S)

        try:
            request = signal.decode(_decompressed(body) if is_compressed else body, encoding)
        except InvalidExport as error:
            raise _Refused(400, str(error)) from error
        try:
            return encode(self._exports.store(signal, request, ingest, InvalidRequest), encoding)
        except TooMuch as error:
            # There may be room for it later, and it should not be lost.
            raise Unavailable(str(error)) from error


def _encoding_of(request: Request) -> Encoding:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return Encoding(kind)
    except ValueError:
        kinds = " or ".join(encoding.value for encoding in Encoding)
        raise _Refused(415, f"the content type is {kind!r}, expected {kinds}") from None


def _is_compressed(request: Request) -> bool:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise _Refused(415, f"the content encoding is {coding!r}, expected gzip or none")
    return coding == "gzip"


def _decompressed(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = decompressor.decompress(body, MAX_EXPORT_BYTES + 1)
    except zlib.error as error:
        raise InvalidExport(f"the body cannot be decompressed: {error}") from None
    if len(data) > MAX_EXPORT_BYTES:
        raise _Refused(413, f"a request has at most {MAX_EXPORT_BYTES} bytes without compression")
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidExport("the body is not one whole gzip member")
    return data


def _response(status: int, body: bytes, encoding: Encoding) -> Response:
    headers = {"Retry-After": RETRY_AFTER_S} if status in _RETRYABLE else None
    return Response(body, status, headers, encoding.value)
