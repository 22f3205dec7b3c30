"""What the gateway counts, for Prometheus."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNKNOWN = "unknown"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class GatewayMetrics:
    """Counters of one gateway.

    Args:
        shown: what there is to read, given what this process counts: of several processes, what they count together.
    """

    def __init__(self, shown: Callable[[CollectorRegistry], CollectorRegistry] = lambda registry: registry) -> None:
        self._registry = CollectorRegistry()
        self._shown = shown(self._registry)
        self.requests = Counter(
            "flightsrv_http_requests",
            "HTTP requests by route, method and status",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "flightsrv_http_request_seconds", "HTTP requests, end to end", ["route"], registry=self._registry
        )
        self.sent_bytes = Counter(
            "flightsrv_http_sent_bytes", "Bytes of bodies that were sent", ["route"], registry=self._registry
        )
        self._under_way = Gauge(
            "flightsrv_http_traces_under_way", "Traces that are being sent", registry=self._registry
        )
        self._traces = Counter(
            "flightsrv_http_traces",
            "Traces by outcome: complete, failed, cancelled, refused",
            ["outcome"],
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In the format that Prometheus reads."""
        return generate_latest(self._shown)

    @contextmanager
    def trace(self) -> Iterator["MeasuredTrace"]:
        """Measures the trace that is sent within it, which has failed until the block says otherwise."""
        measured = MeasuredTrace()
        with self._under_way.track_inprogress():
            try:
                yield measured
            finally:
                self._traces.labels(measured.outcome).inc()


@dataclass
class MeasuredTrace:
    """How a trace ended."""

    outcome: Literal["complete", "failed", "cancelled", "refused"] = "failed"


class MeasureRequests:
    """Middleware that counts what passes. A request that no route takes counts as of route `unknown`, and so does a
    method that does not exist: callers must not be able to make up labels."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin_s = time.perf_counter()
        status = 500
        sent_bytes = 0

        async def measured_send(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, measured_send)
        finally:
            # Never the path itself: there are as many as there are processes.
            route = getattr(scope.get("route"), "path", _UNKNOWN)
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begin_s)
            self._metrics.sent_bytes.labels(route).inc(sent_bytes)
