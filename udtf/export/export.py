"""Export: for every process and hour of a time range, the files that are missing or not as the lake has it.

A file has what begins in its hour, so a row is in one file, and in the same one each time. It is made anew when a
segment has come that is of its hour, or a file of spans when one has come that is of an earlier hour, and when spans in
it had not ended and the process has sent something since; one with spans that come whole, whenever something has come.
Else it stays as it is, and so does a file of which the lake has removed telemetry since.
"""

import pickle
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import pyarrow as pa

from udtf.errors import CorruptData, NotFound, Removed, StoreFull, StoreRefused, StoreUnavailable, UdtfError
from udtf.execution.ahead import work_ahead
from udtf.execution.cancellation import Cancellation
from udtf.execution.elsewhere import NotDone
from udtf.export.dataset import HOUR_NS, Dataset, Hour, PartFile
from udtf.export.tables import Table, table_named
from udtf.lake.address import LakeAddress
from udtf.lake.clock import Clock
from udtf.lake.lake import Lake
from udtf.lake.metadata import HistoryRow
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange
from udtf.lake.view import View
from udtf.views.catalog import KINDS

FORMAT = 1
"""Raise it when files are written in another way."""


@dataclass(frozen=True)
class Unit:
    """One file of a dataset."""

    table: Table
    hour: Hour
    process_id: str

    def __str__(self) -> str:
        return f"{self.table.name} of process {self.process_id}, {self.hour.folder}"


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        what: which one, in words.
        nb_rows, size_bytes: of a new file; 0 if it has stayed as it is.
        damaged: what is missing in it, because it could not be read.
        error: why there is no new file though there should be one; the next export tries again.
    """

    what: str
    nb_rows: int = 0
    size_bytes: int = 0
    damaged: Sequence[str] = ()
    error: UdtfError | None = None


def export(
    lake: Lake,
    dataset: Dataset,
    tables: Sequence[Table],
    time_range: TimeRange,
    process_ids: Collection[str] | None = None,
    cancellation: Cancellation | None = None,
) -> Iterator[Outcome]:
    """Write what the hours that a range touches have, of all processes or of some; an outcome for each file.

    Raises:
        NotFound: the lake has no process of one of the ids.
        QueryCancelled: the cancellation said so.
    """
    cancellation = cancellation or Cancellation()
    for process_id in process_ids or ():
        lake.metadata.process(process_id)
    dataset.begin()
    dataset.tidy(tables)

    def brought_up_to_date(planned: Unit | Outcome) -> Outcome:
        cancellation.check()
        return planned if isinstance(planned, Outcome) else _brought_up_to_date(lake, dataset, planned, cancellation)

    planned = _units(lake, tables, time_range, process_ids)
    with (
        ThreadPoolExecutor(lake.concurrency, thread_name_prefix="export") as threads,
        closing(work_ahead(threads, brought_up_to_date, planned, 2 * lake.concurrency)) as files,
    ):
        yield from (file.result() for file in files)


def _units(
    lake: Lake, tables: Sequence[Table], time_range: TimeRange, process_ids: Collection[str] | None
) -> Iterator[Unit | Outcome]:
    """The files that there may be, process after process; where that cannot be known, what happened."""
    for process, history in chain.from_iterable(lake.metadata.scan_processes()):
        if process_ids is not None and process.process_id not in process_ids:
            continue
        try:
            hours = _hours_of(lake, process.clock, history, time_range)
        except Removed:
            continue
        except UdtfError as error:
            yield Outcome(f"process {process.process_id}", error=error)
            continue
        yield from (Unit(table, hour, process.process_id) for hour in hours for table in tables)


def _hours_of(lake: Lake, clock: Clock, history: HistoryRow, time_range: TimeRange) -> list[Hour]:
    """The hours that the range touches and in which a process may have telemetry."""
    first, last = Hour.of(time_range.begin_ns).number, Hour.of(time_range.end_ns).number
    if history.last_end_time is None or Hour.of(history.last_end_time).number < first:
        return []
    touched = TimeRange(max(MIN_TIME_NS, first * HOUR_NS), min(MAX_TIME_NS, (last + 1) * HOUR_NS - 1))
    hours: set[int] = set()
    cover = lake.histories.cover(history, touched)
    for unit in cover.units:
        hours |= set(range(Hour.of(unit.begin_time).number, Hour.of(unit.end_time).number + 1))
    # Spans that come whole may have begun long before what their stretch covers.
    for stretch in chain(cover.units, cover.others):
        for kind in KINDS:
            if kind.comes_by_begin and (index := stretch.index_of(kind.name)) is not None:
                begins_ns = clock.to_ns(index.loose.column("ticks"))
                hours |= set(np.unique(begins_ns // HOUR_NS).tolist())
    return [Hour(number) for number in sorted(hours) if first <= number <= last]


def _brought_up_to_date(lake: Lake, dataset: Dataset, unit: Unit, cancellation: Cancellation) -> Outcome:
    """By another process, where the lake has some and it can, or else here."""
    if lake.elsewhere is not None and lake.address is not None:
        keys = unit.table.name, unit.hour.number, unit.process_id
        with suppress(NotDone):
            return lake.elsewhere.run(bring_up_to_date_at, lake.address.for_workers(), dataset.uri, *keys)
    return bring_up_to_date(lake, dataset, unit, cancellation)


def bring_up_to_date_at(
    address: LakeAddress, dataset_uri: str, table_name: str, hour_number: int, process_id: str
) -> Outcome:
    """The same as `bring_up_to_date`, in any process that reaches the lake and the dataset.

    Raises:
        StoreRefused: it does not reach them.
    """
    unit = Unit(table_named(table_name), Hour(hour_number), process_id)
    return bring_up_to_date(*_opened(pickle.dumps((address, dataset_uri))), unit, Cancellation())


@cache
def _opened(pickled: bytes) -> tuple[Lake, Dataset]:
    """A lake and a dataset, kept open by a process that exports for others."""
    address, dataset_uri = pickle.loads(pickled)
    dataset = Dataset(dataset_uri)
    address.check()
    dataset.check()
    return Lake.at(address), dataset


def bring_up_to_date(lake: Lake, dataset: Dataset, unit: Unit, cancellation: Cancellation) -> Outcome:
    """Write one file if it is missing, or not as the lake has it."""
    try:
        return _bring_up_to_date(lake, dataset, unit, cancellation)
    except NotFound:
        return Outcome(str(unit))  # The process has been removed meanwhile; what was exported of it stays.
    except (CorruptData, StoreFull, StoreRefused, StoreUnavailable) as error:
        return Outcome(str(unit), error=error)


def _bring_up_to_date(lake: Lake, dataset: Dataset, unit: Unit, cancellation: Cancellation) -> Outcome:
    table, hour, process_id = unit.table, unit.hour, unit.process_id
    telemetry = lake.telemetry_of(process_id)
    history = telemetry.history
    # What is around a span depends on all that was before it.
    of_range = TimeRange(MIN_TIME_NS, hour.range.end_ns) if table.has_spans else hour.range
    # Spans that come whole may come at any time later.
    come_late = any(kind.comes_by_begin and telemetry.of_kind(kind) for kind in table.kinds)
    touching = history.nb_segments if come_late else lake.histories.nb_touching(history, of_range)
    source = f"{FORMAT}/{table.version}/{history.insert_time}/{touching}"
    # What was made while spans in it had not ended.
    unfinished_source = f"{source}/{history.nb_segments}"
    found = dataset.source_of(table, hour, process_id)
    if found in (source, unfinished_source):
        return Outcome(str(unit))
    views = [
        lake.view(kind, telemetry, hour.range, with_attributes=True, cancellation=cancellation) for kind in table.kinds
    ]
    if found is not None and any(view.removed for view in views):
        return Outcome(str(unit))
    with closing(PartFile(table)) as file:
        has_open = False
        for batch in _batches(table, views, hour):
            cancellation.check()
            has_open = has_open or (table.has_spans and batch.column("end").null_count > 0)
            file.add(batch)
        failures = [failure.error for view in views for failure in view.failures]
        for error in failures:
            if not isinstance(error, CorruptData):
                raise error
        file.finish(unfinished_source if has_open else source)
        if file.nb_rows:
            dataset.replace(table, hour, process_id, file)
        elif found is not None:
            dataset.remove(table, hour, process_id)
        size_bytes = file.path.stat().st_size if file.nb_rows else 0
    return Outcome(str(unit), file.nb_rows, size_bytes, damaged=sorted({str(error) for error in failures}))


def _batches(table: Table, views: Sequence[View], hour: Hour) -> Iterator[pa.RecordBatch]:
    for view in views:
        if view.nb_events or view.kind.comes_by_begin:
            yield from table.batches(view, hour.range.begin_ns)
