"""A program that does nothing but record spans, and prints what that costs: `python -m benchmarks.traced_program RUNS`

One line per run, in nanoseconds per span: processor time of the recording thread, time on the clock, and processor
time with all that the sender does behind it (which encodes uploads, and here discards them).
"""

import sys
import time

from flightsrv import tracing

SPANS = 40_000
"""Spans in a run: fewer than a thread's buffer holds, because one that is dropped costs nothing."""


class Nowhere:
    """Takes telemetry and forgets it."""

    def send(self, uploads: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def record_spans() -> tuple[float, float, float]:
    """What the module says of a run."""
    begin_all_ns = time.process_time_ns()
    begin_thread_ns = time.thread_time_ns()
    begin_ns = time.perf_counter_ns()
    for _ in range(SPANS // 2):
        with tracing.span("outer"), tracing.span("inner"):
            pass
    clock_ns = time.perf_counter_ns() - begin_ns
    thread_ns = time.thread_time_ns() - begin_thread_ns
    tracing.flush()
    all_ns = time.process_time_ns() - begin_all_ns
    return thread_ns / SPANS, clock_ns / SPANS, all_ns / SPANS


def main(runs: int) -> None:
    with tracing.start(sink=Nowhere) as session:
        record_spans()
        for _ in range(runs):
            print(*record_spans())
        if session.statistics().dropped_spans:
            sys.exit("spans were dropped, so nothing was measured")


if __name__ == "__main__":
    main(int(sys.argv[1]))
