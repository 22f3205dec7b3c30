"""Runs DataFusion queries so that they can be stopped.

Most plans only hand through what our tables give, batch by batch. They run on the thread of their reader, and stop
because our tables do (`Cancellation`). A plan that computes for itself (sorts, joins, aggregates) can
only be stopped from an event loop, which costs about half a millisecond a batch: too much for a trace
(benchmarks/README.md). Such a plan has bounded memory (`workspace`), and not more of them run at once than have room.
"""

import asyncio
import queue
import threading
import weakref
from collections.abc import Generator

import datafusion
import pyarrow as pa

from udtf.execution.admission import Admission
from udtf.execution.cancellation import POLL_SECONDS, Cancellation, QueryCancelled
from udtf.settings import QuerySettings
from udtf.sql.workspace import limited

BATCHES_AHEAD = 4
"""Batches of a query that may wait for its reader."""


_HANDING_THROUGH = frozenset(
    {"CooperativeExec", "DatasetExec", "FilterExec", "GlobalLimitExec", "LocalLimitExec", "ProjectionExec"}
)


class Driver:
    """An event loop on a thread of its own, until the driver is closed or forgotten. Safe to use from many threads."""

    def __init__(self, settings: QuerySettings) -> None:
        self._settings = settings
        self._computing = Admission("queries that sort, join or aggregate", settings.max_computing, settings.max_wait_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="datafusion", daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def close(self) -> None:
        """Stop all queries under way; their readers see QueryCancelled."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._stop()
        self._thread.join()

    def batches(
        self, frame: datafusion.DataFrame, cancellation: Cancellation
    ) -> Generator[pa.RecordBatch | None, None, None]:
        """The batches of a query; None, or an empty one, where none has come for 50 ms. Closing the iterator stops the
        query.

        Raises:
            QueryCancelled: the cancellation said so, or the driver was closed.
            Overloaded: too many other plans compute.
            Exception: whatever DataFusion makes of a failure.
        """
        if _hands_through(frame.execution_plan()):
            return (batch.to_pyarrow() for batch in frame.execute_stream())
        return self._batches_from_loop(frame, cancellation)

    def _batches_from_loop(
        self, frame: datafusion.DataFrame, cancellation: Cancellation
    ) -> Generator[pa.RecordBatch | None, None, None]:
        self._computing.enter(cancellation.is_cancelled)
        try:
            yield from self._computed(limited(frame, self._settings), cancellation)
        finally:
            self._computing.leave()

    def _computed(
        self, frame: datafusion.DataFrame, cancellation: Cancellation
    ) -> Generator[pa.RecordBatch | None, None, None]:
        reading = _Reading(frame)
        pump = asyncio.run_coroutine_threadsafe(reading.pump(), self._loop)
        try:
            while True:
                try:
                    batch = reading.ready.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    cancellation.check()
                    yield None
                    continue
                if isinstance(batch, BaseException):
                    try:
                        raise batch
                    finally:
                        # It knows this frame. If the frame knew it as well, both would keep the query for a while.
                        del batch
                if batch is None:
                    return
                self._loop.call_soon_threadsafe(reading.room.release)
                yield batch
        finally:
            pump.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _hands_through(plan: datafusion.ExecutionPlan) -> bool:
    """Whether a plan does no more than pass on the batches of our tables, some of their columns or rows."""
    operator = plan.display().partition(":")[0].strip()
    return operator in _HANDING_THROUGH and all(_hands_through(child) for child in plan.children())


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
