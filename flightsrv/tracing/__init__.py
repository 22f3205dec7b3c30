"""Tracing for Python applications: what the program does, as spans, logs and counters, with next to no cost for it.

    from flightsrv import tracing

    with tracing.start("http://127.0.0.1:8080"):
        with tracing.span("query", sql=text) as span:
            span.set(rows=len(run(text)))

    @tracing.traced
    def compress(...): ...

    async with tracing.async_span("request"):
        ...

    logging.getLogger().addHandler(tracing.LogHandler())
    tracing.instant("cache emptied")
    tracing.counter("queued", "jobs").set(7)

Libraries may instrument themselves freely: while no application has called `start`, all this does nothing. Nothing here
raises into the program or makes it wait: what cannot be kept is dropped, counted, and reported.

The way of a span: `recorder` (in the thread that records) -> `buffers` -> `sender` (background) -> `outbox`, which has
`uploads` made -> `http`, or the `spool` on disk. All of it needs the standard library only.
"""

from flightsrv.tracing.async_spans import AsyncSpan, async_span, set_attributes
from flightsrv.tracing.counters import Counter, counter
from flightsrv.tracing.decorator import traced
from flightsrv.tracing.links import Origin, link, origin
from flightsrv.tracing.logs import LogHandler, instant
from flightsrv.tracing.modules import ModuleTracing, trace_modules
from flightsrv.tracing.recorder import span
from flightsrv.tracing.session import (
    Session,
    Settings,
    Statistics,
    flush,
    start,
    start_in_spawned_child,
    statistics,
    stop,
)
from flightsrv.tracing.sinks import RefusedError, Sink, SinkFactory

__all__ = [
    "AsyncSpan",
    "Counter",
    "LogHandler",
    "ModuleTracing",
    "Origin",
    "RefusedError",
    "Session",
    "Settings",
    "Sink",
    "SinkFactory",
    "Statistics",
    "async_span",
    "counter",
    "flush",
    "instant",
    "link",
    "origin",
    "set_attributes",
    "span",
    "start",
    "statistics",
    "stop",
    "trace_modules",
    "traced",
]

start_in_spawned_child()
