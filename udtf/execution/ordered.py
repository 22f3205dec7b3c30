"""Jobs in parallel, results in order.

Promises:
- at most `max_jobs` jobs run at once; they start in the order given, each on a thread of its own. With `max_jobs` 0
  they run one by one on the thread of the reader, whenever it wants a result: fastest for jobs that never wait, as
  threads take turns at Python anyway;
- results come in the order of the jobs, and within a job in the order it gave them;
- at most `max_waiting` results (and one more for each running job) wait to be taken; jobs that are ahead of the
  reader wait, the job that the reader waits for never does;
- while there is no result to hand on, `pause` comes out now and then, if there is one, so that the reader may do
  something else;
- an error of a job comes out in its place, after the results before it, and ends everything;
- closing the iterator stops the jobs at their next result and waits for none of them.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from udtf.execution.cancellation import MAX_POLL_SECONDS, POLL_SECONDS, Cancellation

T = TypeVar("T")


def run_ordered(
    jobs: Sequence[Callable[[], Iterable[T]]],
    *,
    max_jobs: int,
    max_waiting: int,
    cancellation: Cancellation,
    on_waiting: Callable[[int], None],
    pause: T | None = None,
) -> Iterator[T]:
    """The results of all jobs; see the promises of the module.

    Args:
        on_waiting: told how many results more, or less, wait to be taken.

    Raises:
        QueryCancelled: the cancellation said so while the reader waited.
    """
    if not max_jobs:
        for job in jobs:
            yield from job()
        return
    fan_out = _FanOut(jobs, max_waiting, on_waiting)
    for number in range(min(max_jobs, len(jobs))):
        threading.Thread(target=fan_out.work, name=f"scan-{number}", daemon=True).start()
    try:
        yield from fan_out.results(cancellation, pause)
    finally:
        fan_out.stop()


@dataclass
class _Job(Generic[T]):
    run: Callable[[], Iterable[T]]
    results: deque[T] = field(default_factory=deque)
    done: bool = False
    error: BaseException | None = None

    def has_news(self) -> bool:
        """Whether its reader has something to do."""
        return self.done or bool(self.results)


class _FanOut(Generic[T]):
    def __init__(
        self, jobs: Sequence[Callable[[], Iterable[T]]], max_waiting: int, on_waiting: Callable[[int], None]
    ) -> None:
        self._jobs = [_Job(job) for job in jobs]
        self._max_waiting = max_waiting
        self._on_waiting = on_waiting
        self._changed = threading.Condition()
        self._next_to_start = 0
        self._next_to_read = 0
        self._waiting = 0
        self._stopped = False

    def work(self) -> None:
        """What each thread does: take the next job until there is none."""
        while True:
            with self._changed:
                if self._stopped or self._next_to_start == len(self._jobs):
                    return
                number = self._next_to_start
                self._next_to_start += 1
            self._run(number)

    def _run(self, number: int) -> None:
        job = self._jobs[number]
        try:
            for result in job.run():
                if not self._put(number, result):
                    break
        except BaseException as error:  # handed to the reader, whatever it is
            job.error = error
        with self._changed:
            job.done = True
            self._changed.notify_all()

    def _put(self, number: int, result: T) -> bool:
        """Hand over a result; False when nobody wants it any more."""
        job = self._jobs[number]
        with self._changed:
            while self._waiting >= self._max_waiting and not self._stopped:
                if number == self._next_to_read and not job.results:
                    break
                self._changed.wait()
            if self._stopped:
                return False
            job.results.append(result)
            self._count(1)
            self._changed.notify_all()
        return True

    def _count(self, change: int) -> None:
        self._waiting += change
        self._on_waiting(change)

    def results(self, cancellation: Cancellation, pause: T | None) -> Iterator[T]:
        for number, job in enumerate(self._jobs):
            with self._changed:
                self._next_to_read = number
                self._changed.notify_all()
            patience_s = POLL_SECONDS
            while True:
                result = pause
                with self._changed:
                    self._changed.wait_for(job.has_news, patience_s)
                    if job.results:
                        result = job.results.popleft()
                        self._count(-1)
                        self._changed.notify_all()
                    elif job.done:
                        break
                    else:
                        cancellation.check()
                        # Hundreds of readers that wait would take the time of those whom they wait for.
                        patience_s = min(2 * patience_s, MAX_POLL_SECONDS)
                if result is not None:
                    yield result
            if job.error is not None:
                raise job.error

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._count(-self._waiting)
            for job in self._jobs:
                job.results.clear()
            self._changed.notify_all()
