"""The partitions of many processes, made ahead of queries."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from udtf.errors import NotFound, UdtfError
from udtf.execution.ahead import work_ahead
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

    def materialize(view: tuple[str, Kind]) -> Outcome:
        return _materialize(lake, *view, time_range, cancellation)

    views = _views(lake, time_range, process_ids)
    with (
        ThreadPoolExecutor(VIEWS_AT_ONCE, thread_name_prefix="materialize") as threads,
        closing(work_ahead(threads, materialize, views, 2 * VIEWS_AT_ONCE)) as made,
    ):
        yield from (each.result() for each in made)


def _views(lake: Lake, time_range: TimeRange, process_ids: Collection[str] | None) -> Iterator[tuple[str, Kind]]:
    """Every kind of telemetry of the processes that may have some in a range."""
    for process, history in chain.from_iterable(lake.metadata.scan_processes()):
        if process_ids is not None and process.process_id not in process_ids:
            continue
        if history.last_end_time is None or history.last_end_time < time_range.begin_ns:
            continue
        yield from ((process.process_id, kind) for kind in KINDS)


def _materialize(lake: Lake, process_id: str, kind: Kind, time_range: TimeRange, cancellation: Cancellation) -> Outcome:
    try:
        telemetry = lake.telemetry_of(process_id)
        return Outcome(
            process_id, kind.name, lake.view(kind, telemetry, time_range, cancellation=cancellation).materialize()
        )
    except NotFound:
        return Outcome(process_id, kind.name)  # it has been removed meanwhile
    except UdtfError as error:
        return Outcome(process_id, kind.name, error=error)
