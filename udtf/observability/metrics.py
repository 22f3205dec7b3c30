"""What is measured, and where the numbers go: into metrics for Prometheus, and into the tally of the query at work.

Everything is recorded once for a query, a thread, a partition or a request to the store, never for a span. Times are
seconds, as Prometheus wants them.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from udtf.observability.statistics import CacheStatistics, StoreStatistics

T = TypeVar("T")

TRACE_SECONDS = (0.02, 0.04, 0.075, 0.15, 0.3, 0.7, 1.5, 3.0, 6.0, 12.0, 25.0, 60.0)
"""Steps of about two. Edges are where a user notices: 40 ms and 150 ms for a warm trace, 700 ms for a cold one."""

WORK_SECONDS = tuple(0.0005 * 2**step for step in range(16))
"""0.5 ms to 16 s: a thread of a few spans, up to a partition on a slow store. Doubling each time, a quantile that is
read from the buckets is wrong by a factor of two at most, whatever the load."""

STORE_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Half decades: a local file takes 0.1 ms, a remote object 10 to 100 ms, one that is throttled and tried again
seconds."""


class Metrics:
    """The metrics of one lake and of what is served from it. Two of them in one process share nothing.

    Args:
        clock: seconds that only rise.

    Attributes:
        registry: what this process counts.
        shown: what there is to read. Where several processes are one server, it has what they count together.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.registry = self.shown = registry = CollectorRegistry()
        self._watched = _Watched()
        registry.register(self._watched)
        self.trace_seconds = Histogram(
            "flightsrv_trace_seconds",
            "Time from the first look at a trace's telemetry until its last chunk was taken.",
            buckets=TRACE_SECONDS,
            registry=registry,
        )
        self.view_seconds = Histogram(
            "flightsrv_view_seconds",
            "Time to read and encode one kind of telemetry for a trace; waiting for the reader not counted.",
            ["view_set"],
            buckets=WORK_SECONDS,
            registry=registry,
        )
        self.failed_threads = Counter(
            "flightsrv_failed_threads",
            "Streams that a trace went on without, by error.",
            ["kind"],
            registry=registry,
        )
        self.build_seconds = Histogram(
            "flightsrv_partition_build_seconds",
            "Time to materialize one partition, from its first block read to its committed row.",
            ["view_set"],
            buckets=WORK_SECONDS,
            registry=registry,
        )
        self.builds_under_way = Gauge(
            "flightsrv_builds_under_way", "Partitions that are being materialized or wait for it.", registry=registry
        )
        self.store_read_seconds = Histogram(
            "flightsrv_store_read_seconds",
            "Time to read one object, attempts that failed included.",
            buckets=STORE_SECONDS,
            registry=registry,
        )
        self.calls = Counter(
            "flightsrv_calls",
            "Queries and ingestions that ended, by how they ended.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.call_seconds = Histogram(
            "flightsrv_call_seconds",
            "Time from a call's arrival to the end of its stream, however it ended.",
            ["kind"],
            buckets=TRACE_SECONDS,
            registry=registry,
        )
        self.rows = Counter("flightsrv_rows", "Rows that left, or came by ingestion.", ["kind"], registry=registry)
        self.row_bytes = Counter("flightsrv_row_bytes", "Bytes of those rows.", ["kind"], registry=registry)
        self.errors = Counter("flightsrv_errors", "Calls that failed, by error.", ["kind"], registry=registry)

    def watch_cache(self, name: str, statistics: Callable[[], CacheStatistics]) -> None:
        """Show a cache's own counts, read when metrics are."""
        self._watched.caches[name] = statistics

    def watch_store(self, statistics: Callable[[], StoreStatistics]) -> None:
        """Show an object store's own counts, read when metrics are."""
        self._watched.stores.append(statistics)

    def call_ended(self, kind: str, outcome: str, seconds: float, rows: int, size_bytes: int) -> None:
        """A 'query' or an 'ingestion' has ended: 'ok', 'failed', or 'cancelled', on request or by leaving."""
        self.calls.labels(kind, outcome).inc()
        self.call_seconds.labels(kind).observe(seconds)
        self.rows.labels(kind).inc(rows)
        self.row_bytes.labels(kind).inc(size_bytes)

    def tally(self) -> "QueryTally":
        """A tally for a query that begins."""
        return QueryTally(self)


@dataclass
class Amounts:
    """What one query took, in the order in which a log line tells it. `builds_ms` and `store_ms` are sums over
    what ran side by side."""

    trace_ms: float = 0.0
    streams: int = 0
    views_ms: float = 0.0
    failed_threads: int = 0
    partitions_built: int = 0
    builds_ms: float = 0.0
    row_hits: int = 0
    row_misses: int = 0
    file_hits: int = 0
    file_misses: int = 0
    store_reads: int = 0
    store_retries: int = 0
    store_ms: float = 0.0
    store_bytes: int = 0
    worker_bytes: int = 0

    def __str__(self) -> str:
        amounts = vars(self).items()
        return ", ".join(f"{name}={round(amount, 1)}" for name, amount in amounts if amount)


class QueryTally:
    """Records for one query: into its `amounts`, and into the metrics of all. Safe to use from many threads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self.amounts = Amounts()
        self.clock = metrics.clock

    def trace_made(self, seconds: float) -> None:
        """A trace is complete."""
        self._metrics.trace_seconds.observe(seconds)
        with self._lock:
            self.amounts.trace_ms += seconds * 1e3

    def view_made(self, view_set: str, nb_streams: int, seconds: float) -> None:
        """One kind of telemetry of so many streams was read and encoded for a trace."""
        self._metrics.view_seconds.labels(view_set).observe(seconds)
        with self._lock:
            self.amounts.streams += nb_streams
            self.amounts.views_ms += seconds * 1e3

    def thread_failed(self, error: Exception) -> None:
        """A trace goes on without a stream."""
        self._metrics.failed_threads.labels(type(error).__name__).inc()
        with self._lock:
            self.amounts.failed_threads += 1

    def partition_built(self, view_set: str, seconds: float) -> None:
        """A partition is visible. Queries that waited for one build leave it to the first."""
        self._metrics.build_seconds.labels(view_set).observe(seconds)
        with self._lock:
            self.amounts.partitions_built += 1
            self.amounts.builds_ms += seconds * 1e3

    def rows_asked(self, *, hit: bool) -> None:
        """Rows of a partition were looked up in their cache, which counts for all queries, as those below do."""
        with self._lock:
            self.amounts.row_hits += hit
            self.amounts.row_misses += not hit

    def file_asked(self, *, hit: bool) -> None:
        """A file was looked up in its cache."""
        with self._lock:
            self.amounts.file_hits += hit
            self.amounts.file_misses += not hit

    def read(self, load: Callable[[], bytes]) -> bytes:
        """The bytes that `load` reads from the object store."""
        begin = self.clock()
        data = load()
        seconds = self.clock() - begin
        self._metrics.store_read_seconds.observe(seconds)
        with self._lock:
            self.amounts.store_reads += 1
            self.amounts.store_ms += seconds * 1e3
            self.amounts.store_bytes += len(data)
        return data

    def store_retried(self) -> None:
        """A request to the store failed and is tried again; the store counts that for all queries."""
        with self._lock:
            self.amounts.store_retries += 1

    def worker_used(self, size_bytes: int) -> None:
        """By so much the memory of a worker rose that computed for the query."""
        with self._lock:
            self.amounts.worker_bytes = max(self.amounts.worker_bytes, size_bytes)


def timed(items: Iterable[T], clock: Callable[[], float], tell: Callable[[float], None]) -> Iterator[T]:
    """The items; in the end `tell` learns how many seconds making them took, without the time until each was taken."""
    seconds = 0.0
    begin = clock()
    for item in items:
        seconds += clock() - begin
        yield item
        begin = clock()
    tell(seconds + clock() - begin)


class _Watched:
    """A collector of what others count for themselves; they are asked when metrics are read."""

    def __init__(self) -> None:
        self.caches: dict[str, Callable[[], CacheStatistics]] = {}
        self.stores: list[Callable[[], StoreStatistics]] = []

    def collect(self) -> Iterator[Metric]:
        yield from self._of_caches()
        yield from self._of_stores()

    def _of_caches(self) -> Iterator[Metric]:
        hits = CounterMetricFamily("flightsrv_cache_hits", "Values that a cache had.", labels=["cache"])
        misses = CounterMetricFamily("flightsrv_cache_misses", "Values that had to be loaded.", labels=["cache"])
        entries = GaugeMetricFamily("flightsrv_cache_entries", "Values that a cache holds.", labels=["cache"])
        size = GaugeMetricFamily("flightsrv_cache_bytes", "Bytes of values that a cache holds.", labels=["cache"])
        for name, statistics in self.caches.items():
            now = statistics()
            hits.add_metric([name], now.hits)
            misses.add_metric([name], now.misses)
            entries.add_metric([name], now.entries)
            size.add_metric([name], now.size_bytes)
        yield from (hits, misses, entries, size)

    def _of_stores(self) -> Iterator[Metric]:
        now = [statistics() for statistics in self.stores]
        for name, help_, value in (
            ("requests", "Requests to the object store, each try counted.", sum(each.requests for each in now)),
            ("retries", "Requests that were tried again after a failure.", sum(each.retries for each in now)),
            ("read_bytes", "Bytes read from the object store.", sum(each.read_bytes for each in now)),
            ("written_bytes", "Bytes written to the object store.", sum(each.written_bytes for each in now)),
        ):
            yield CounterMetricFamily(f"flightsrv_store_{name}", help_, value)
