"""Tracing for Python applications: what the program does, as spans, with next to no cost for the program.

    from flightsrv import tracing

    with tracing.start("grpc://127.0.0.1:50051"):
        with tracing.span("parse"):
            ...

    @tracing.traced
    def compress(...): ...

    async with tracing.async_span("request"):
        ...

Libraries may instrument themselves freely: while no application has called `start`, spans do nothing. Nothing here
raises into the program or makes it wait: what cannot be kept is dropped, counted, and reported.

The way of a span: `recorder` (in the thread that records) -> `buffers` -> `sender` (background) -> `outbox` (blocks)
-> `sinks`. Importing this needs the standard library only.
"""

from flightsrv.tracing.async_spans import AsyncSpan, async_span
from flightsrv.tracing.decorator import traced
from flightsrv.tracing.modules import ModuleTracing, trace_modules
from flightsrv.tracing.recorder import span
from flightsrv.tracing.session import Session, Settings, Statistics, flush, start, statistics, stop
from flightsrv.tracing.sinks import RefusedError, Sink

__all__ = [
    "AsyncSpan",
    "ModuleTracing",
    "RefusedError",
    "Session",
    "Settings",
    "Sink",
    "Statistics",
    "async_span",
    "flush",
    "span",
    "start",
    "statistics",
    "stop",
    "trace_modules",
    "traced",
]
