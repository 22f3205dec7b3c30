"""Every question, in the order in which they are asked."""

from collections.abc import Callable, Iterator
from types import ModuleType

from benchmarks.lakes import Workbench
from benchmarks.questions import (
    cold_trace,
    import_time,
    parallel_traces,
    peak_memory,
    slow_store,
    small_trace,
    span_kinds,
    span_recording,
    sql,
    warm_trace,
)
from benchmarks.results import Result

_MODULES: tuple[ModuleType, ...] = (
    warm_trace,
    cold_trace,
    small_trace,
    peak_memory,
    parallel_traces,
    slow_store,
    sql,
    span_recording,
    span_kinds,
    import_time,
)

QUESTIONS: dict[str, Callable[[Workbench], Iterator[Result]]] = {
    module.__name__.rpartition(".")[2]: module.measure for module in _MODULES
}
