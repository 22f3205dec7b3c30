"""The partitions of many processes, made ahead of queries."""

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from udtf.errors import NotFound, UdtfError
from udtf.execution.cancellation import Cancellation
from udtf.lake.lake import Lake
from udtf.lake.time_range import TimeRange
from udtf.views.catalog import KINDS
from udtf.views.kind import Kind

VIEWS_AT_ONCE = 4
"""Each has as many builds under way as the lake allows for a view, so this is only for those that need few."""


@dataclass(frozen=True)
class Outcome:
    """What became of one view set of a process: partitions that were made, or what went wrong."""

    process_id: str
    view_set: str
    nb_made: int = 0
    error: UdtfError | None = None


def materialize_processes(
    lake: Lake, time_range: TimeRange, process_ids: Collection[str] | None, cancellation: Cancellation
) -> Iterator[Outcome]:
    """Make the partitions that a time range needs and that are missing, of all processes or of some.

    Raises:
        NotFound: the lake has no process of one of the ids.
        QueryCancelled: the cancellation said so.
    """
    for process_id in process_ids or ():
        lake.metadata.process(process_id)
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(VIEWS_AT_ONCE, thread_name_prefix="materialize") as threads:
        try:
            for process, history in chain.from_iterable(lake.metadata.scan_processes()):
                if process_ids is not None and process.process_id not in process_ids:
                    continue
                if history.last_end_time is None or history.last_end_time < time_range.begin_ns:
                    continue
                for kind in KINDS:
                    waiting.append(
                        threads.submit(_materialize, lake, kind, process.process_id, time_range, cancellation)
                    )
                while len(waiting) > 2 * VIEWS_AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _materialize(lake: Lake, kind: Kind, process_id: str, time_range: TimeRange, cancellation: Cancellation) -> Outcome:
    try:
        telemetry = lake.telemetry_of(process_id)
        return Outcome(
            process_id, kind.name, lake.view(kind, telemetry, time_range, cancellation=cancellation).materialize()
        )
    except NotFound:
        return Outcome(process_id, kind.name)  # it has been removed meanwhile
    except UdtfError as error:
        return Outcome(process_id, kind.name, error=error)
