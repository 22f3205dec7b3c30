"""Every question: those of the default run, in the order in which they are asked, and those that are asked by name."""

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from benchmarks.lakes import Workbench
from benchmarks.questions import (
    builders,
    cold_trace,
    following,
    hour,
    import_time,
    ingestion,
    late_telemetry,
    many_threads,
    memory,
    million_blocks,
    minute_of_day,
    minute_of_hour,
    mixed_clients,
    other_processes,
    parallel_traces,
    peak_memory,
    remote_scans,
    small_trace,
    span_kinds,
    span_recording,
    sql,
    unit_costs,
    warm_trace,
)
from benchmarks.results import Result

Question = Callable[[Workbench], Iterator[Result]]


def _by_name(*modules: ModuleType) -> Mapping[str, Question]:
    return {module.__name__.rpartition(".")[2]: module.measure for module in modules}


DEFAULT = _by_name(
    minute_of_hour,
    hour,
    following,
    late_telemetry,
    other_processes,
    ingestion,
    many_threads,
    warm_trace,
    cold_trace,
    small_trace,
    parallel_traces,
    remote_scans,
    memory,
    peak_memory,
    sql,
    span_recording,
    span_kinds,
    import_time,
)

LONG = _by_name(minute_of_day, million_blocks, unit_costs, builders, mixed_clients)
"""They need lakes that take long to make, or are of interest now and then."""

QUESTIONS: Mapping[str, Question] = {**DEFAULT, **LONG}
