"""Three small stores on the network, and a client that asks several of them at once: asyncio on real sockets.

A piece is stored when two of the three have it; the third is told to stop. Reading asks two of them and takes the
first good answer, since at least one of any two has the piece. So tasks overlap, nest, gather and are cancelled.
"""

import asyncio
import hashlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from flightsrv.tracing import async_span

Result = TypeVar("Result")

QUORUM = 2
MAX_TRANSFERS = 16
"""Pieces on their way at the same time."""

_STORE, _FETCH = b"S", b"F"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 4
_DISK_SECONDS = (0.001, 0.002, 0.03)
"""How long each store takes to write: the last one is far away."""


class EventLoopThread:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Wait for the tasks that still run, then end the thread."""
        self.submit(_wait_for_others()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Store:
    """Keeps pieces by their digest, and serves them on a port of its own."""

    def __init__(self, name: str, disk_seconds: float) -> None:
        self.name = name
        self.port = 0
        self._disk_seconds = disk_seconds
        self._pieces: dict[bytes, bytes] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more calls; those that came go on."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that has heard enough from others hangs up in the middle.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if await reader.readexactly(1) == _STORE:
                async with async_span(f"serve store at {self.name}"):
                    await self._store(reader, writer)
            else:
                async with async_span(f"serve fetch at {self.name}"):
                    await _send(writer, self._pieces.get(await reader.readexactly(_DIGEST_BYTES), b""))
        writer.close()

    async def _store(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with async_span("receive"):
            digest = await reader.readexactly(_DIGEST_BYTES)
            data = await _receive(reader)
        async with async_span("check"):
            if hashlib.sha256(data).digest() != digest:
                return
        async with async_span("write to disk"):
            await asyncio.sleep(self._disk_seconds)
            self._pieces[digest] = data
        await _send(writer, digest)


class Replicas:
    """The client of the three stores. Its methods are for any thread but those of the event loops."""

    def __init__(self) -> None:
        self._server = EventLoopThread("stores")
        self._client = EventLoopThread("uploads")
        self._stores = [Store(name, seconds) for name, seconds in zip("abc", _DISK_SECONDS, strict=True)]
        self._slots = asyncio.Semaphore(MAX_TRANSFERS)
        for store in self._stores:
            self._server.submit(store.start()).result()

    def put(self, data: bytes) -> Future[bytes]:
        """Begin to store a piece; the result is its digest, once it is safe."""
        return self._client.submit(self._put(data))

    def fetch_all(self, digests: list[bytes]) -> list[bytes]:
        """Read pieces back, in this order."""
        return self._client.submit(self._fetch_all(digests)).result()

    def close(self) -> None:
        self._client.close()
        for store in self._stores:
            self._server.submit(store.stop()).result()
        self._server.close()

    async def _put(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).digest()
        async with async_span("upload piece", digest=digest.hex(), bytes=len(data)), _Slot(self._slots):
            tasks = [asyncio.create_task(_store_at(store, digest, data)) for store in self._stores]
            for stored, finished in enumerate(asyncio.as_completed(tasks), 1):
                await finished
                if stored == QUORUM:
                    break
            await _cancel(tasks)
        return digest

    async def _fetch_all(self, digests: list[bytes]) -> list[bytes]:
        async with async_span("restore archive"):
            return await asyncio.gather(*map(self._fetch, digests))

    async def _fetch(self, digest: bytes) -> bytes:
        async with async_span("fetch piece"), _Slot(self._slots):
            tasks = [asyncio.create_task(_fetch_from(store, digest)) for store in self._stores[:QUORUM]]
            data = b""
            for finished in asyncio.as_completed(tasks):
                data = await finished
                if data:
                    break
            await _cancel(tasks)
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"piece {digest.hex()} was not stored")
        return data


class _Slot:
    """One of a limited number of transfers."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        async with async_span("wait for a slot"):
            await self._slots.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()


async def _store_at(store: Store, digest: bytes, data: bytes) -> None:
    async with async_span(f"store at {store.name}"):
        reader, writer = await _connect(store)
        try:
            async with async_span("send"):
                writer.write(_STORE + digest)
                await _send(writer, data)
            async with async_span("wait for answer"):
                if await _receive(reader) != digest:
                    raise ValueError(f"store {store.name} refused a piece")
        except asyncio.CancelledError:
            async with async_span("hang up"):
                writer.transport.abort()
            raise
        finally:
            writer.close()


async def _fetch_from(store: Store, digest: bytes) -> bytes:
    async with async_span(f"fetch from {store.name}"):
        reader, writer = await _connect(store)
        try:
            writer.write(_FETCH + digest)
            async with async_span("wait for answer"):
                return await _receive(reader)
        finally:
            writer.close()


async def _connect(store: Store) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with async_span("connect"):
        return await asyncio.open_connection("127.0.0.1", store.port)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(_LENGTH_BYTES) + data)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(_LENGTH_BYTES)))


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """Stop what still runs; failures of those that lost no longer matter."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_for_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
