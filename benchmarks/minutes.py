"""The same minute in two lakes that differ in what is around it: how many times as long a trace of it takes."""

import statistics
from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.recordings import Among, Live
from benchmarks.results import Budget, Result
from benchmarks.servers import TimedTrace, check_equal, flightsrv_server

Minute = Live | Among
"""A process, and with it the minute in its middle."""

_WARM_TRACES = 5


def times_as_long(
    bench: Workbench, name: str, this: Minute, plain: Minute, runs: int, budget: Budget | None
) -> Iterator[Result]:
    """Cold and warm, `this` against `plain`. Each run has a fresh copy of both lakes, and a new server for each, one
    right after the other, so that a busy machine is so for both. The warm trace of a run is the best of a few."""
    pairs = [(_traces(bench, this), _traces(bench, plain)) for _ in range(runs)]
    for state, index in (("cold", 0), ("warm", 1)):
        of_this, of_plain = ([traces[side][index] for traces in pairs] for side in (0, 1))
        check_equal(of_this)
        check_equal(of_plain)
        factors = tuple(a.complete_ms / b.complete_ms for a, b in zip(of_this, of_plain, strict=True))
        details = {
            "ms": statistics.median(trace.complete_ms for trace in of_this),
            "ms of the plain one": statistics.median(trace.complete_ms for trace in of_plain),
        }
        yield Result(f"{name}, {state}", "times as long", budget, factors, details)


def _traces(bench: Workbench, minute: Minute) -> tuple[TimedTrace, TimedTrace]:
    """Cold and warm."""
    window = minute.minute
    with bench.fresh_copy(minute) as lake, flightsrv_server(lake) as server:
        cold = server.trace(minute.process_id, window)
        warm = [server.trace(minute.process_id, window) for _ in range(_WARM_TRACES)]
        server.check_spans(minute.process_id, minute.spans_within(window), window)
    check_equal([cold, *warm])
    return cold, min(warm, key=lambda trace: trace.complete_ms)
