"""Work on many items in parallel, with results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def work_ahead(
    executor: Executor, work: Callable[[Item], Result], items: Iterable[Item], max_ahead: int
) -> Generator[Future[Result], None, None]:
    """The work on each item, in order: so many are begun ahead of the reader at most. What has not begun when the
    reader closes the iterator is cancelled."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(work, item))
            if len(waiting) > max_ahead:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
