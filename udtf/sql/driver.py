"""Runs DataFusion queries from one event loop, because only so can a query be stopped between two of its batches."""

import asyncio
import queue
import threading
from collections.abc import Callable, Generator

import datafusion
import pyarrow as pa

BATCHES_AHEAD = 4
"""Batches of a query that may wait for its reader."""

CANCEL_POLL_SECONDS = 0.05


class QueryCancelled(Exception):
    """The caller asked for the query to stop, and it has."""


class Driver:
    """An event loop on a thread of its own. Safe to use from many threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="datafusion", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop all queries under way; their readers see QueryCancelled."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def batches(
        self, frame: datafusion.DataFrame, is_cancelled: Callable[[], bool] | None = None
    ) -> Generator[pa.RecordBatch, None, None]:
        """The batches of a query. Closing the iterator stops the query.

        Args:
            is_cancelled: asked every 50 ms while waiting; when it says so, the query stops.

        Raises:
            QueryCancelled: `is_cancelled` said so, or the driver was closed.
            Exception: whatever DataFusion makes of a failure.
        """
        reading = _Reading(frame)
        pump = asyncio.run_coroutine_threadsafe(reading.pump(), self._loop)
        try:
            while True:
                try:
                    batch = reading.ready.get(timeout=CANCEL_POLL_SECONDS)
                except queue.Empty:
                    if is_cancelled is not None and is_cancelled():
                        raise QueryCancelled("the query was cancelled") from None
                    continue
                if isinstance(batch, BaseException):
                    raise batch
                if batch is None:
                    return
                self._loop.call_soon_threadsafe(reading.room.release)
                yield batch
        finally:
            pump.cancel()


class _Reading:
    """One query on its way from the event loop to its reader: batches, then None or what went wrong."""

    def __init__(self, frame: datafusion.DataFrame) -> None:
        self._frame = frame
        self.room = asyncio.Semaphore(BATCHES_AHEAD)
        self.ready: queue.SimpleQueue[pa.RecordBatch | BaseException | None] = queue.SimpleQueue()

    async def pump(self) -> None:
        try:
            stream = self._frame.execute_stream()
            while True:
                await self.room.acquire()
                try:
                    batch = await stream.__anext__()
                except StopAsyncIteration:
                    break
                self.ready.put(batch.to_pyarrow())
        except asyncio.CancelledError:
            self.ready.put(QueryCancelled("the query was cancelled"))
            raise
        except BaseException as error:
            self.ready.put(error)
        else:
            self.ready.put(None)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
