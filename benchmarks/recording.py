"""What does a span cost the thread that records it, by the way it is written? `python -m benchmarks.recording`

Processor time of the recording thread, less that of the same loop without spans; the sender sleeps meanwhile, and its
work is measured by the question `span_recording`. Medians of short runs, so that what else the machine does is left
out. The budget is that of a span; where there is none (no recording at all), that of costing next to nothing.
"""

import asyncio
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from flightsrv import tracing

SPANS = 2000
"""In one run."""
RUNS = 101
BURST_RUNS = 500
SPAN_BUDGET_NS = 1000
IDLE_BUDGET_NS = 250
IMPORT_BUDGET_MS = 100
DROPPED_BUDGET_PERCENT = 1

_IMPORT = "import time; t = time.perf_counter_ns(); import flightsrv.tracing; print(time.perf_counter_ns() - t)"


class _Nowhere:
    """Takes telemetry and forgets it."""

    def send(self, uploads: bytes) -> None:
        pass

    def close(self) -> None:
        pass


_log = logging.getLogger("benchmarks.recording")
_log.setLevel(logging.INFO)
_log.propagate = False


def _plain() -> None:
    pass


_traced = tracing.traced(name="traced")(_plain)


@tracing.traced(name="traced coroutine")
async def _traced_coroutine() -> None:
    pass


async def _plain_coroutine() -> None:
    pass


def _empty_loop() -> None:
    for _ in range(SPANS):
        pass


def _calls() -> None:
    for _ in range(SPANS):
        _plain()


def _spans() -> None:
    for _ in range(SPANS):
        with tracing.span("work"):
            pass


def _nested_spans() -> None:
    for _ in range(SPANS // 4):
        with tracing.span("a"), tracing.span("b"), tracing.span("c"), tracing.span("d"):
            pass


def _spans_with_attributes() -> None:
    for number in range(SPANS):
        with tracing.span("work", user="ann", number=number):
            pass


def _lines() -> None:
    for number in range(SPANS):
        _log.info("line %d", number)


def _traced_calls() -> None:
    for _ in range(SPANS):
        _traced()


async def _async_spans() -> None:
    for _ in range(SPANS):
        async with tracing.async_span("work"):
            pass


async def _traced_coroutines() -> None:
    for _ in range(SPANS):
        await _traced_coroutine()


async def _coroutines() -> None:
    for _ in range(SPANS):
        await _plain_coroutine()


class _Reader(logging.Handler):
    """Does what every handler does: makes the text."""

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()


def _line_ns() -> float:
    """What a line of a log costs more if our handler is there besides another one."""
    ours, other = tracing.LogHandler(), _Reader()

    def lines_with_ours() -> None:
        _log.addHandler(ours)
        _lines()
        _log.removeHandler(ours)

    _log.addHandler(other)
    try:
        return _span_ns(lines_with_ours, _lines)
    finally:
        _log.removeHandler(other)


def _run_async(function: Callable[[], Any]) -> Callable[[], None]:
    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(function())


def _span_ns(run: Callable[[], None], baseline: Callable[[], None]) -> float:
    """Nanoseconds of one span: median of a run with spans, less that of one without."""
    samples = []
    for _ in range(RUNS):
        begin_ns = time.thread_time_ns()
        baseline()
        middle_ns = time.thread_time_ns()
        run()
        samples.append((time.thread_time_ns() - middle_ns) - (middle_ns - begin_ns))
        tracing.flush()
    return statistics.median(samples) / SPANS


def _dropped_percent() -> float:
    """Of spans that follow one another as fast as they can, for about a second."""
    with tracing.start(sink=_Nowhere, settings=tracing.Settings(stop_timeout_s=60.0)) as session:
        tracing.flush()
        for _ in range(BURST_RUNS):
            _spans()
        return 100 * session.statistics().dropped_spans / (BURST_RUNS * SPANS)


def _import_ms() -> float:
    times = [
        int(subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True).stdout)
        for _ in range(11)
    ]
    return statistics.median(times) / 1e6


def _figure(name: str, value: float, unit: str, budget: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "holds": value <= budget}


def measure() -> list[dict[str, Any]]:
    """Figures with name, value, unit, budget, and whether it holds."""
    figures = [_figure("span, nothing recorded", _span_ns(_spans, _empty_loop), "ns", IDLE_BUDGET_NS)]
    with tracing.start(sink=_Nowhere, settings=tracing.Settings(send_every_s=3600.0)):
        for name, run, baseline in (
            ("span", _spans, _empty_loop),
            ("span, four nested", _nested_spans, _empty_loop),
            ("span with two attributes", _spans_with_attributes, _empty_loop),
            ("traced function", _traced_calls, _calls),
            ("async span", _run_async(_async_spans), _empty_loop),
            ("traced coroutine", _run_async(_traced_coroutines), _run_async(_coroutines)),
        ):
            figures.append(_figure(name, _span_ns(run, baseline), "ns", SPAN_BUDGET_NS))
        figures.append(_figure("line of a log, besides another handler", _line_ns(), "ns", SPAN_BUDGET_NS))
        if tracing.statistics().dropped_spans:
            raise RuntimeError("spans were dropped, so nothing was measured")
    figures.append(_figure("dropped of a million spans at once", _dropped_percent(), "%", DROPPED_BUDGET_PERCENT))
    figures.append(_figure("import of the library", _import_ms(), "ms", IMPORT_BUDGET_MS))
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
