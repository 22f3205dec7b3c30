"""Workers that plan and compute: so many at once, none with more memory than it may have.

A worker that did what it was told goes on to the next statement. One that was left in the middle is killed: that ends
whatever it does, at once, and leaves nothing of it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from udtf.execution.admission import Admission
from udtf.execution.memory import resident_bytes
from udtf.workers.channel import Channel
from udtf.workers.processes import Process, new_process

MAX_PLANNING = 8
"""Most statements that are planned at once."""

MAX_IDLE = 2
"""Most workers that wait for a statement."""

UNCOUNTED_BYTES = 192 << 20
"""What a worker may take beside the memory that it counts: rows on their way, values of single expressions."""

MAX_KEPT_BYTES = 160 << 20
"""A worker that keeps more than this from one statement to the next is not worth keeping."""

BEGIN_SECONDS = 0.04
"""A new worker takes about so long to begin. While others plan, which takes a tenth of that, one of those is waited
for."""

WATCH_SECONDS = 0.02


class Worker:
    """A process to plan and to compute in, for one statement at a time.

    Attributes:
        is_idle: whether it waits for a statement.
        prepared: what it has planned and may be asked to run; None if there is nothing.
        max_bytes: memory that it may take.
        is_too_large: whether it was killed for the memory that it took.
        peak_bytes: by how much its memory rose since it was leased, as far as was seen.
    """

    def __init__(self, process: Process, max_bytes: int) -> None:
        self._process = process
        self.max_bytes = max_bytes
        self._begin_bytes = resident_bytes(process.pid)
        self.channel: Channel = process.channel
        self.is_idle = True
        self.prepared: object = None
        self.is_too_large = False
        self.peak_bytes = 0

    def look(self) -> None:
        """See how much memory it has, and kill it if that is too much."""
        grown_bytes = self._grown_bytes()
        self.peak_bytes = max(self.peak_bytes, grown_bytes)
        if grown_bytes > self.max_bytes:
            self.is_too_large = True
            self._process.kill()

    def kill(self) -> None:
        """End what it does, at once."""
        self._process.kill()

    def reap(self) -> None:
        """Kill it, and remove what it left."""
        self._process.reap()

    @property
    def has_crashed(self) -> bool:
        """Whether it died of what it did. It is reaped for that."""
        self.reap()
        return self._process.has_crashed

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it is alive, waits for a statement, and has given back what the last one took."""
        is_alive = not self._process.is_orphaned and not self.channel.poll(0)
        return self.is_idle and is_alive and self._grown_bytes() <= MAX_KEPT_BYTES

    def _grown_bytes(self) -> int:
        return resident_bytes(self._process.pid) - self._begin_bytes


class WorkerPool:
    """Workers that all do the same. Safe to use from many threads.

    Args:
        function: what a worker calls with its end of the channel, as `module:function`.
        greeting: the parts of the first message that it gets.
        memory_bytes: memory that it may take, as far as it counts by itself.
        max_computing: most workers that compute at once.
        max_wait_s: how long others wait for them.
    """

    def __init__(
        self,
        function: str,
        greeting: Sequence[bytes | pa.Buffer],
        *,
        memory_bytes: int,
        max_computing: int,
        max_wait_s: float,
    ) -> None:
        self._function = function
        self._greeting = greeting
        self._max_bytes = memory_bytes + UNCOUNTED_BYTES
        self._planning = Admission("statements are being planned", MAX_PLANNING, max_wait_s)
        self._computing = Admission("queries that compute are under way", max_computing, max_wait_s)
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._nb_planning = 0
        self.is_closed = False

    @contextmanager
    def planner(self, is_cancelled: Callable[[], bool]) -> Iterator[Worker]:
        """A worker to plan with. Raises as `Admission.enter`."""
        with self._planning.place(is_cancelled), self._lease(plans=True) as worker:
            yield worker

    @contextmanager
    def computer(self, is_cancelled: Callable[[], bool], prepared: object) -> Iterator[Worker]:
        """A worker to compute with: the idle one that has this `prepared`, or else another. Raises as
        `Admission.enter`."""
        with self._computing.place(is_cancelled), self._lease(prepared=prepared) as worker:
            yield worker

    def warm_up(self) -> None:
        """Have a worker ready."""
        with self._lease():
            pass

    def close(self) -> None:
        """End all workers, whatever they do."""
        with self._changed:
            self.is_closed = True
            workers = [*self._idle, *self._busy]
            self._idle.clear()
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.reap()

    @contextmanager
    def _lease(self, *, prepared: object = None, plans: bool = False) -> Iterator[Worker]:
        worker = self._idle_worker(prepared, plans)
        try:
            with self._leased(worker or self._new_worker()) as leased:
                yield leased
        finally:
            with self._changed:
                self._nb_planning -= plans

    @contextmanager
    def _leased(self, worker: Worker) -> Iterator[Worker]:
        worker.peak_bytes = 0
        with self._changed:
            self._busy.add(worker)
        try:
            with _GUARD.watching(worker):
                yield worker
        finally:
            is_kept = worker.is_worth_keeping
            with self._changed:
                self._busy.discard(worker)
                is_kept = is_kept and len(self._idle) < MAX_IDLE and not self.is_closed
                if is_kept:
                    self._idle.append(worker)
                self._changed.notify()
            if not is_kept:
                worker.reap()

    def _idle_worker(self, prepared: object, plans: bool) -> Worker | None:
        """A worker that is idle, or is so before a new one would have begun; from then on, one more plans if this
        one `plans`."""
        end_s = time.monotonic() + BEGIN_SECONDS
        while True:
            with self._changed:
                while not self._idle and self._nb_planning and (left_s := end_s - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                if not self._idle:
                    self._nb_planning += plans
                    return None
                # The first has waited longest: what it has prepared is the least likely to be asked for.
                worker = next((idle for idle in self._idle if idle.prepared is prepared), self._idle[0])
                self._idle.remove(worker)
                if worker.is_worth_keeping:
                    self._nb_planning += plans
                    return worker
            worker.reap()

    def _new_worker(self) -> Worker:
        worker = Worker(new_process(self._function), self._max_bytes)
        worker.channel.send(*self._greeting)
        return worker


class _Guard:
    """Looks at the memory of those workers that have something to do, again and again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Worker] = set()
        self._thread: threading.Thread | None = None
        self._is_waiting = False

    @contextmanager
    def watching(self, worker: Worker) -> Iterator[None]:
        with self._changed:
            self._watched.add(worker)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="memory guard", daemon=True)
                self._thread.start()
            elif self._is_waiting:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._watched.discard(worker)

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            with self._changed:
                while not self._watched:
                    self._is_waiting = True
                    self._changed.wait()
                self._is_waiting = False
                watched = list(self._watched)
            for worker in watched:
                worker.look()


_GUARD = _Guard()
