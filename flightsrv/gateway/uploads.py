"""`POST /api/uploads`: telemetry of traced programs, which goes on to the server with the caller's credentials."""

import asyncio
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from flightsrv.client import InvalidRequest, QueryClient, TooMuch, Unavailable
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.storing import Introductions, store_uploads
from flightsrv.tracing.http import PATH
from flightsrv.uploads import MAX_UPLOADS_BYTES, InvalidUpload, decode_uploads

__all__ = ["MAX_UPLOADS_BYTES", "PATH", "uploads_router"]

MAX_BYTES = 4 * MAX_UPLOADS_BYTES
"""Of the bodies of all requests that are under way; further ones are to come again."""
MAX_AT_ONCE = 4
"""How many requests are decoded and stored at once."""
STORE_TIMEOUT_S = 45.0
"""Less than senders wait for an answer."""


class Stored(BaseModel):
    """What was stored, and is durable now."""

    blocks: int


class _Room:
    """Bytes of bodies that are held, and the turns of those that are handled."""

    def __init__(self) -> None:
        self.used_bytes = 0
        self.turns = asyncio.Semaphore(MAX_AT_ONCE)


def uploads_router(callers: Callers) -> APIRouter:
    """The routes of this module."""
    Caller = Annotated[QueryClient, Depends(callers)]  # noqa: N806 (a type)
    router = APIRouter(tags=["telemetry"], dependencies=[Depends(known_parameters_only)])
    room = _Room()
    introductions = Introductions()

    @router.post(
        PATH,
        responses=problems(400, 411, 413, 422),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def store(client: Caller, request: Request) -> Stored:
        """Store uploads as `flightsrv.tracing` sends them, all or nothing; sending them again is harmless."""
        size_bytes = _announced_bytes(request)
        if room.used_bytes + size_bytes > MAX_BYTES:
            raise HTTPException(503, "too much telemetry comes in at once; send again", {"Retry-After": "1"})
        room.used_bytes += size_bytes
        try:
            try:
                data = await request.body()
            except ClientDisconnect:
                raise HTTPException(400, "the body is not complete") from None
            async with room.turns:
                return await run_in_threadpool(_store, client, data, introductions)
        finally:
            room.used_bytes -= size_bytes

    return router


def _announced_bytes(request: Request) -> int:
    text = request.headers.get("content-length")
    if text is None or not text.isdigit():
        raise HTTPException(411, "telemetry needs a Content-Length")
    if int(text) > MAX_UPLOADS_BYTES:
        raise HTTPException(413, f"telemetry of one request has at most {MAX_UPLOADS_BYTES} bytes")
    return int(text)


def _store(client: QueryClient, data: bytes, introductions: Introductions) -> Stored:
    def ingest(table: str, rows: pa.RecordBatch) -> None:
        client.ingest(table, rows, timeout_seconds=STORE_TIMEOUT_S)

    try:
        uploads = decode_uploads(data)
    except InvalidUpload as error:
        raise InvalidRequest(str(error)) from error
    try:
        store_uploads(uploads, ingest, InvalidRequest, introductions)
    except TooMuch as error:
        # There may be room for it later, and it should not be lost.
        raise Unavailable(str(error)) from error
    return Stored(blocks=uploads.blocks.num_rows)
